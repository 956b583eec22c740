"""Give a string diagram numbers: functors to matrices, interventions and counterfactuals of a known model.

Source: Jacobs, Kissinger and Zanasi (2019), arXiv:1811.08338, section 4: functors from the syntax of a graph to
stochastic matrices are exactly the Bayesian networks on it. Wires become indices, boxes tensors, copies shared
indices, discards sums; evaluation is one tensor contraction.

`intervene` cuts and then *conditions* the cut vertex on its value: the uniform state is a place holder of full
support, and without conditioning every number would be too small by the number of its values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from educe.causal._contraction import Contracted, contract
from educe.causal.diagram import Box, Composable
from educe.causal.surgery import cut, twin
from educe.causal.table import TOLERANCE, Table, float64
from educe.core import Posterior, Refusal, UsageError, nearest

__all__ = ["Functor", "counterfactual", "intervene"]

MOST_ENTRIES = 2**27


@dataclass(frozen=True, eq=False)
class Functor:
    """An interpretation of objects as finite sets and of boxes as tensors.

    Parameters
    ----------
    ob : mapping of str to int
        How many values each object has.
    ar : mapping of str to Tensor or array
        The tensor of each box, with axes in the order inputs, then outputs: ``ar["T"][s, t]`` is P(t | s). Gradients
        flow through.
    stochastic : bool
        Whether every box must sum to one over its outputs; False admits all non-negative matrices.

    Raises
    ------
    UsageError
        A size is below one. Tensors are checked when a diagram uses them: shape, sign, sums.

    Examples
    --------
    >>> from educe.causal import Diagram
    >>> rain = Functor({"R": 2, "W": 2}, {"R": [0.8, 0.2], "W": [[0.9, 0.1], [0.2, 0.8]]})
    >>> [round(x, 2) for x in rain(Diagram.from_dag([("R", "W")], hidden=["R"])).tolist()]
    [0.76, 0.24]
    """

    ob: Mapping[str, int]
    ar: Mapping[str, Any]
    stochastic: bool = True

    def __post_init__(self) -> None:
        for name, size in self.ob.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise UsageError(f"Object {name!r} has size {size!r}. Give a whole number >= 1.")

    def size(self, name: str) -> int:
        """Return how many values an object has.

        Parameters
        ----------
        name : str
            The object.
        """
        if name not in self.ob:
            raise UsageError(f"Object {name!r} has no size; {nearest(name, self.ob)}")
        return self.ob[name]

    def box(self, box: Box) -> torch.Tensor:
        """Return the tensor of one box, checked.

        Parameters
        ----------
        box : Box
            A box; a uniform one has no entry of its own.

        Returns
        -------
        Tensor
            float64, axes: inputs, then outputs.

        Raises
        ------
        UsageError
            There is no tensor, or its shape, an entry or a sum is wrong.
        """
        shape = tuple(self.size(name) for name in (box.dom @ box.cod).names)
        if box.kind == "uniform":
            return torch.full(shape, 1.0 / math.prod(shape), dtype=torch.float64)
        if box.name not in self.ar:
            raise UsageError(f"Box {box.name!r} has no tensor; {nearest(box.name, self.ar)}")
        tensor = float64(self.ar[box.name])
        if tuple(tensor.shape) != shape:
            axes = list((box.dom @ box.cod).names)
            raise UsageError(
                f"The tensor of box {box.name!r} has shape {tuple(tensor.shape)}. Give {shape}, with axes {axes}."
            )
        plain = tensor.detach()
        if not bool((torch.isfinite(plain) & (plain >= 0)).all()):
            raise UsageError(f"The tensor of box {box.name!r} has a negative or non-finite entry. Give numbers >= 0.")
        if self.stochastic:
            sums = plain.reshape(*shape[: len(box.dom)], -1).sum(-1)
            off = float((sums - 1).abs().max())
            if off > TOLERANCE:
                worst = float(sums.reshape(-1)[(sums - 1).abs().reshape(-1).argmax()])
                raise UsageError(
                    f"The tensor of box {box.name!r} is not stochastic: one row sums to {worst:.6g}. "
                    "Let it sum to one over the outputs (its last axes), or set stochastic=False."
                )
        return tensor

    def evaluate(self, diagram: Composable) -> Contracted:
        """Contract a diagram and say what it cost.

        Parameters
        ----------
        diagram : Diagram or box
            What to interpret.

        Returns
        -------
        Contracted
            Named tuple of the tensor (axes: inputs, then outputs), the number of contractions, and their
            multiplications.

        Raises
        ------
        UsageError
            A box does not fit, or the result would have more than 2**27 entries.
        """
        form = diagram.diagram
        sizes = {wire: self.size(name) for wire, name in enumerate(form.wires)}
        factors = [(self.box(p.box), p.inputs + p.outputs) for p in form.boxes]
        touched = {wire for _, own in factors for wire in own}
        ends = form.inputs + form.outputs
        if math.prod(sizes[wire] for wire in ends) > MOST_ENTRIES:
            raise UsageError(f"The result over {len(ends)} wires has more than 2**27 entries. Discard some outputs.")
        out: list[int] = []
        for wire in ends:
            if ends.count(wire) == 1:
                out.append(wire)
                if wire not in touched:
                    factors.append((torch.ones(sizes[wire], dtype=torch.float64), (wire,)))
            else:
                fresh = len(sizes)
                sizes[fresh] = sizes[wire]
                out.append(fresh)
                factors.append((torch.eye(sizes[wire], dtype=torch.float64), (wire, fresh)))
        return contract(factors, sizes, tuple(out))

    def __call__(self, diagram: Composable) -> torch.Tensor:
        """Interpret a diagram as a tensor.

        Parameters
        ----------
        diagram : Diagram or box
            What to interpret.

        Returns
        -------
        Tensor
            float64, axes: inputs, then outputs.
        """
        return self.evaluate(diagram).tensor

    def matrix(self, diagram: Composable) -> torch.Tensor:
        """Interpret a diagram as a matrix whose columns sum to one.

        Parameters
        ----------
        diagram : Diagram or box
            What to interpret.

        Returns
        -------
        Tensor
            (values of the outputs, values of the inputs) float64; composition is matrix multiplication.
        """
        form = diagram.diagram
        rows = math.prod(self.size(name) for name in form.cod.names)
        return self(form).reshape(-1, rows).T.contiguous()

    def table(self, diagram: Composable) -> Table:
        """Interpret a diagram as a table with named axes.

        Parameters
        ----------
        diagram : Diagram or box
            Each object may stand at its sides once.

        Returns
        -------
        Table
            The law of the outputs given the inputs.
        """
        form = diagram.diagram
        return Table((form.dom @ form.cod).names, self(form), form.dom.names)


def intervene(diagram: Composable, functor: Functor, do: Mapping[str, int]) -> Table:
    """Compute the law of a known model under intervention: cut, evaluate, condition.

    Parameters
    ----------
    diagram : Diagram
        A state over distinct objects, hidden ones without output.
    functor : Functor
        The model, with the tables of hidden vertices too.
    do : mapping of str to int
        Values to set, by vertex; each vertex must be an output.

    Returns
    -------
    Table
        The law of the other outputs. It equals the truncated factorisation of do-calculus.

    Raises
    ------
    UsageError
        A vertex is no output, or a value is out of range.

    Examples
    --------
    >>> from educe.causal import Diagram
    >>> model = Functor({"A": 2, "B": 2}, {"A": [0.5, 0.5], "B": [[0.9, 0.1], [0.3, 0.7]]})
    >>> [round(p, 3) for p in intervene(Diagram.from_dag([("A", "B")]), model, {"A": 1}).tensor.tolist()]
    [0.3, 0.7]
    """
    form = diagram.diagram
    for name in do:
        if name not in form.cod.names:
            raise UsageError(f"Vertex {name!r} is no output of the diagram; {nearest(str(name), form.cod.names)}")
    table = functor.table(cut(form, *do)).fixed(do)
    scale = math.prod(functor.size(name) for name in do)
    return Table(table.names, table.tensor * scale, table.given, table.levels)


def counterfactual(
    diagram: Composable,
    functor: Functor,
    *,
    observed: Mapping[str, int],
    do: Mapping[str, int],
    of: str | Iterable[str],
) -> Posterior[Any] | Refusal:
    """Answer "given what was seen, what would have been, had we acted otherwise?" in a known structural model.

    The twin diagram is evaluated, its factual outputs are conditioned on the evidence, and the counterfactual ones
    on the action.

    Parameters
    ----------
    diagram : Diagram
        A state over distinct objects, with chance in boxes without inputs only.
    functor : Functor
        The model; every box with inputs must be deterministic, because otherwise its table does not say which of
        many mechanisms made it, and the answer would depend on that.
    observed : mapping of str to int
        What was seen, by vertex.
    do : mapping of str to int
        What would have been done.
    of : str or iterable of str
        The outcome.

    Returns
    -------
    Posterior or Refusal
        Over the outcome's values (tuples for several). A refusal where what was seen has probability zero.

    Raises
    ------
    UsageError
        A box with inputs is not deterministic, or a vertex is no output.

    Examples
    --------
    >>> from educe.causal import Diagram
    >>> d = Diagram.from_dag([("U", "B"), ("A", "B")], hidden=["U"])
    >>> xor = [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]
    >>> model = Functor({"U": 2, "A": 2, "B": 2}, {"U": [0.9, 0.1], "A": [0.5, 0.5], "B": xor})
    >>> counterfactual(d, model, observed={"A": 0, "B": 1}, do={"A": 1}, of="B").mode()
    0
    """
    form = diagram.diagram
    outcome = (of,) if isinstance(of, str) else tuple(of)
    for name in (*observed, *do, *outcome):
        if name not in form.cod.names:
            raise UsageError(f"Vertex {name!r} is no output of the diagram; {nearest(str(name), form.cod.names)}")
    for placed in form.boxes:
        tensor = functor.box(placed.box).detach()
        if placed.box.dom.names and bool(((tensor > TOLERANCE) & (tensor < 1 - TOLERANCE)).any()):
            raise UsageError(
                f"Box {placed.box.name!r} is not deterministic, so its table does not settle counterfactuals. "
                "Move its chance into an exogenous parent."
            )
    # Both worlds carry the same objects; the counterfactual ones get a prime for the table.
    names = form.cod.names + tuple(f"{name}'" for name in form.cod.names)
    evaluated = functor.evaluate(twin(form, *do))
    table = Table(names, evaluated.tensor)
    joint = table.fixed({**observed, **{f"{name}'": value for name, value in do.items()}})
    wanted = [f"{name}'" for name in outcome]
    if set(outcome) & set(do):
        raise UsageError(f"{sorted(set(outcome) & set(do))} are acted on, so they are no outcome. Ask for others.")
    law = joint.marginal(*wanted).tensor
    if float(law.sum()) <= 0:
        return Refusal(f"What was seen, {dict(observed)}, has probability zero in this model.", dict(observed))
    values: list[Any] = [tuple(index) for index in torch.ones(law.shape).nonzero().tolist()]
    if isinstance(of, str):
        values = [value[0] for value in values]
    return Posterior(values, law.reshape(-1).log(), details={"contractions": evaluated.contractions})
