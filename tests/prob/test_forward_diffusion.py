"""Diffusion through a forward model against closed forms, an adjoint, another Radon transform and a reference loop."""

import math

import pytest
import torch

from educe.core import Posterior, Seed, UsageError
from educe.prob import (
    DeterministicInverse,
    ForwardDiffusion,
    SignalDiffusion,
    ViewDenoiser,
    Views,
    cosine_schedule,
    pixel_centres,
    posterior_reference,
    radon,
)


def identity(signal, phi):
    return signal


def test_the_adjoint_of_the_projection_is_its_gradient():
    project, generator = radon(6, 9, 0.1), torch.Generator().manual_seed(0)
    x = torch.randn(4, 36, generator=generator, requires_grad=True)
    y = torch.randn(4, 9, generator=generator)
    angles = torch.rand(4, generator=generator) * 3
    seen = project(x, angles)
    (back,) = torch.autograd.grad((seen * y).sum(), x)
    assert torch.allclose((x * back).sum(), (seen * y).sum(), rtol=1e-4)
    alone = torch.cat([project(x[i : i + 1], angles[i : i + 1]) for i in range(4)])
    assert torch.allclose(alone, seen, atol=1e-5)  # one angle takes the other branch


def test_every_angle_sees_the_same_mass():
    project = radon(12, 40, 0.12)
    centres = pixel_centres(12)
    blob = torch.exp(-((centres - torch.tensor([0.2, -0.3])) ** 2).sum(1) / 0.05)[None].expand(8, -1)
    views = project(blob, torch.linspace(0, math.pi, 8))
    width = 2.4 / 39
    assert torch.allclose(views.sum(1) * width, blob.sum(1) * (2 / 12) ** 2, rtol=1e-3)


@pytest.mark.slow
def test_the_projection_of_a_disc_agrees_with_scikit_image_and_its_chord():
    transform = pytest.importorskip("skimage.transform")
    size, bins = 64, 25
    radius = pixel_centres(size).norm(dim=1)
    disc = (radius < 0.5).float()[None]
    ours = radon(size, bins, 0.04)(disc, torch.zeros(1))[0]
    place = torch.linspace(-1.2, 1.2, bins)
    chord = 2 * torch.sqrt(torch.clamp(0.25 - place**2, min=0))
    inner = place.abs() < 0.35
    assert torch.allclose(ours[inner], chord[inner], atol=0.03)
    theirs = torch.as_tensor(transform.radon(disc[0].reshape(size, size).double().numpy(), [0.0]))[:, 0] * 2 / size
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    near = [float(theirs[(axis - p).abs() < 0.06].mean()) for p in place[inner]]
    assert torch.allclose(ours[inner].double(), torch.tensor(near, dtype=torch.float64), atol=0.04)


@pytest.mark.slow
def test_a_linear_gaussian_posterior_is_sampled():
    # S ~ N(0, I) in the plane; the context measures S_1 with noise of sd 0.5, the target angle measures
    # (S_1 + S_2) / sqrt(2). The best denoiser is the Gaussian conditional mean given both.
    steps, direction = 200, torch.tensor([0.5, 0.5]).sqrt()
    shares = cosine_schedule(steps)

    def forward(signal, phi):
        return (signal @ direction)[:, None]

    def best(o_ctx, phi_ctx, o_t, phi_trg, t):
        share = float(shares[round(float(t[0]) * steps)])
        looks = torch.stack([torch.tensor([1.0, 0.0]), math.sqrt(share) * direction])
        gram = looks @ looks.T + torch.diag(torch.tensor([0.25, 1 - share]))
        return torch.cat([o_ctx, o_t], 1) @ torch.linalg.solve(gram, looks)

    model = ForwardDiffusion(forward, best, steps)
    posterior = model.sample(torch.tensor([1.0]), 0.0, 0.0, 1500, seed=1)
    assert isinstance(posterior, Posterior) and posterior.ledger.calls == steps
    seen = model.measure(posterior, 0.0)[:, 0]
    # Given the context S_1 ~ N(0.8, 0.2) and S_2 ~ N(0, 1): the target is N(0.566, 0.6). Five standard errors
    # (0.100 and 0.110) plus 0.03 for the length of the chain.
    assert abs(float(seen.mean()) - 0.8 / math.sqrt(2)) < 0.13
    assert abs(float(seen.var()) - 0.6) < 0.14
    # What the target cannot see is filled in deterministically: the signal is a line over the measurement.
    signal = posterior.values["signal"]
    assert float(torch.linalg.matrix_rank(signal - signal.mean(0), atol=1e-2)) == 1


def test_with_the_identity_it_is_ordinary_conditional_diffusion():
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(32, 3, generator=generator)
    angle = torch.zeros(32)
    views = Views(data + 0.1, angle, data, angle, data, angle)
    network = ViewDenoiser(3, 3, 3, 16)
    model = ForwardDiffusion(identity, network, 10, losses=("target",))
    ours = model.loss(views, torch.Generator().manual_seed(3))
    again = torch.Generator().manual_seed(3)
    t = torch.randint(1, 11, (32,), generator=again)
    share = cosine_schedule(10)[t][:, None]
    noisy = share.sqrt() * data + (1 - share).sqrt() * torch.randn(32, 3, generator=again)
    plain = ((network(data + 0.1, angle, noisy, angle, t / 10) - data) ** 2).mean()
    assert abs(float((ours - plain).detach())) < 1e-6


def test_the_schedule_and_the_last_step():
    shares = cosine_schedule(50)
    assert shares[0] == 1 and shares[-1] < 1e-4 and bool((shares.diff() < 0).all())
    # With one step the sample is the proposal itself, never a measurement turned back.
    one = ForwardDiffusion(lambda s, phi: s[:, :1], lambda o, p, x, q, t: torch.cat([o, o + 1], 1), 1)
    assert one.draw(torch.ones(2, 1), torch.zeros(2), torch.zeros(2)).tolist() == [[1, 2], [1, 2]]


def test_a_sample_does_not_depend_on_its_neighbours():
    model = ForwardDiffusion(identity, lambda o, p, x, q, t: 0.5 * x + o, 8)
    few, many = (model.sample(torch.ones(2), 0.0, 0.0, n, seed=4).values["signal"] for n in (2, 5))
    assert torch.equal(few, many[:2])
    assert not torch.equal(few, model.sample(torch.ones(2), 0.0, 0.0, 2, seed=5).values["signal"])


@pytest.mark.slow
@pytest.mark.parametrize("losses", [("target",), ("target", "novel", "context")])
def test_training_lowers_the_loss_and_the_seed_decides(losses):
    generator = torch.Generator().manual_seed(0)
    # One pattern at many strengths: any one view tells the rest, so that the loss can fall to nearly nothing.
    signals = 2 * torch.rand(64, 1, generator=generator) * torch.rand(16, generator=generator)
    project, angle = radon(4, 6, 0.3), torch.zeros(64)
    o = project(signals, angle)
    views = Views(o, angle, project(signals, angle + 1.5), angle + 1.5, project(signals, angle + 0.7), angle + 0.7)

    def trained(kind):
        torch.manual_seed(0)
        network = ViewDenoiser(6, 16 if kind is SignalDiffusion else 6, 16, 16, 1)
        if kind is SignalDiffusion:
            return kind(network, 16, 5).fit(signals, views, 40, batch=32, rate=1e-2, seed=2)
        model = kind(project, network, losses=losses)
        return model.fit(views, 40, batch=32, rate=1e-2, seed=2)

    for kind in (ForwardDiffusion, DeterministicInverse, SignalDiffusion):
        model = trained(kind)
        assert sum(model.losses_[-5:]) < 0.5 * sum(model.losses_[:5])
        assert trained(kind).losses_ == model.losses_
        drawn = model.draw(o[:3], angle[:3], angle[:3] + 1.5, seed=Seed(1))
        assert drawn.shape == (3, 16) and bool((drawn > 0).all())


def test_the_reference_enumerates():
    observations = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    exact = posterior_reference("abc", observations, torch.tensor([0.5, 0.5]), 0.5)
    weights = [math.exp(-s / 0.5) for s in (0.5, 0.5, 2.5)]
    assert exact.probabilities.tolist() == pytest.approx([w / sum(weights) for w in weights])


def test_bad_input_is_refused():
    model = ForwardDiffusion(identity, lambda o, p, x, q, t: x, 5)
    angle = torch.zeros(2)
    views = Views(*(torch.zeros(2, 2), angle) * 3)
    for call, match in (
        (lambda: cosine_schedule(0), "make no chain"),
        (lambda: ForwardDiffusion(identity, identity, losses=("perceptual",)), "cannot be read"),
        (lambda: ForwardDiffusion(identity, identity, losses=()), "cannot be read"),
        (lambda: model.fit(views), "nothing to train"),
        (lambda: model.fit(views._replace(o_trg=torch.full((2, 2), math.nan))), "not finite"),
        (lambda: model.draw(torch.zeros(2, 2), torch.zeros(3), angle), "do not fit"),
        (lambda: model.sample(torch.zeros(2), 0.0, 0.0, 0), "no posterior"),
        (lambda: model.measure(Posterior.uniform(["a"]), 0.0), "holds no signals"),
        (lambda: radon(4, 1, 0.1), "detect nothing"),
        (lambda: radon(4, 5, 0.1)(torch.zeros(2, 9), angle), "do not fit"),
        (lambda: pixel_centres(0), "no pixel"),
        (lambda: posterior_reference("ab", torch.zeros(3, 2), torch.zeros(2), 1.0), "do not fit"),
        (lambda: posterior_reference("ab", torch.zeros(2, 2), torch.zeros(2), 0.0), "not positive"),
    ):
        with pytest.raises(UsageError, match=match):
            call()
    network = DeterministicInverse(identity, ViewDenoiser(2, 2, 2, 4))
    with pytest.raises(UsageError, match="nothing to do"):
        network.fit(views, 0)
