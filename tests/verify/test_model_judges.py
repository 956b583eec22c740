"""The two judges that ship with abacus: as rewards of searchers, and against the decoder computed plainly."""

import dataclasses
import math

import pytest
import torch

import educe
from educe.core import DataError
from educe.core.sync import run_sync
from educe.lm.decoder import Decoder
from educe.lm.packaged import packaged_folder
from educe.reason import Question
from educe.reason.reward import score_steps
from educe.reason.steps import Prefix, Step
from educe.tasks import make
from educe.verify import ProcessReward, SelfEval, StepHead


@pytest.fixture(scope="module")
def lm():
    return educe.load("abacus")


@pytest.fixture(scope="module")
def reward():
    return ProcessReward.load("abacus")


@pytest.fixture(scope="module")
def problem():
    return make("chain_arithmetic", 1, "dev", seed=2)[0]


def prefix(problem, count):
    lines = [line + "\n" for line in problem.steps] + [f"The answer is {problem.answer}."]
    return Prefix(tuple(Step(line, 5) for line in lines[:count]))


def test_one_score_per_line_and_all_are_probabilities(reward, problem):
    texts = [problem.solution, problem.steps[0], problem.steps[0] + "\n\n" + problem.steps[1] + "\n", ""]
    scores = reward.score(problem.prompt, texts)
    assert [len(row) for row in scores] == [len(problem.steps) + 1, 1, 2, 0]
    assert all(0 < score < 1 for row in scores for score in row)


def test_a_score_depends_on_what_is_written_up_to_there(reward, problem):
    whole, begun = reward.score(problem.prompt, [problem.solution, "\n".join(problem.steps[:2])])
    assert whole[:2] == pytest.approx(begun, abs=1e-5)
    alone = reward.score(problem.prompt, ["\n".join(problem.steps[:2])])[0]
    assert alone == pytest.approx(begun, abs=1e-5)


def test_searchers_use_both_as_rewards(lm, reward, problem):
    question = Question.from_json(problem.question_json())
    rows = [prefix(problem, 1), prefix(problem, 3), prefix(problem, 5)]
    for judge in (reward, SelfEval()):
        session = lm.session()
        scored = run_sync(score_steps(judge, question, rows, session))
        assert [len(row.scores) for row in scored] == [1, 3, 5]
        assert session.ledger.prompt_tokens > 0
        # Steps that have a score keep it; only the new one is asked for.
        longer = dataclasses.replace(rows[2], scores=(0.25, 0.25, 0.25, 0.25))
        again = run_sync(score_steps(judge, question, [longer], session))[0]
        assert again.scores[:4] == (0.25,) * 4
        assert again.scores[4] == pytest.approx(scored[2].scores[4], abs=1e-4)


def test_the_tokens_read_are_charged(lm, reward, problem):
    question = Question.from_json(problem.question_json())
    session = lm.session()
    run_sync(reward(question, [prefix(problem, 2), prefix(problem, 2)], session))
    text = f"Question: {problem.prompt}\nAnswer:\n" + "\n".join(problem.steps[:2]) + "\n"
    assert session.ledger.prompt_tokens == len(lm.tokenizer.encode(text))  # equal answers are read once
    assert session.ledger.calls == 1


def test_self_evaluation_is_the_models_own_next_token(lm, problem):
    decoder = Decoder.load(packaged_folder("abacus"))
    for text in ("", problem.steps[0] + "\n", problem.solution):
        ids = lm.tokenizer.encode(f"Question: {problem.prompt}\nAnswer:\n{text.rstrip()}<|check|>")
        yes, no = (lm.tokenizer.encode(reply)[0] for reply in (" yes", " no"))
        with torch.inference_mode():
            logits = decoder(torch.tensor([ids]))[0, -1]
        wanted = float((logits[yes] - logits[no]).sigmoid())
        assert SelfEval().score(lm, problem.prompt, [text])[0] == pytest.approx(wanted, abs=1e-3)


def test_a_session_that_has_stopped_leaves_no_score(lm, problem):
    session = lm.session()
    first = SelfEval().score(session, problem.prompt, [problem.solution])[0]
    session.stop()
    assert 0 < first < 1
    assert math.isnan(SelfEval().score(session, problem.prompt, [problem.solution])[0])
    question = Question.from_json(problem.question_json())
    assert run_sync(SelfEval()(question, [prefix(problem, 1)], session)) == [None]


def test_a_head_survives_its_file(tmp_path):
    generator = torch.Generator().manual_seed(0)
    head = StepHead(*(torch.randn(shape, generator=generator) for shape in ((6, 4), (6,), (6,), ())))
    head.save(tmp_path / "heads" / "process_reward.safetensors")
    again = StepHead.load(tmp_path / "heads" / "process_reward.safetensors", 4)
    states = torch.randn(3, 4, generator=generator)
    assert torch.equal(head(states), again(states))
    by_hand = (
        torch.nn.functional.silu(states @ head.inner.T + head.inner_bias) @ head.outer + head.outer_bias
    ).sigmoid()
    assert torch.allclose(head(states), by_hand)
    with pytest.raises(DataError, match="not for width 5"):
        StepHead.load(tmp_path / "heads" / "process_reward.safetensors", 5)
    with pytest.raises(DataError, match="no step head"):
        StepHead.load(tmp_path / "missing", 4)
