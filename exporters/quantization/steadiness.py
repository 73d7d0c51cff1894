"""Golden vectors of a variant's own, for one that may choose otherwise than fp32: cases that hang on no rounding.

A search in the graph takes the better of two tokens. Eight bits move their scores, so that near a tie the other one is
taken: after that all tokens are others, and fp32's golden vectors say nothing of whether the graph is right. What says
that is the metric, on the machine where it was measured. For other machines the variant carries what it answered there.

Those need not round as this one does. Products of whole numbers are the same on every processor (weights are scaled so
that none saturates, :mod:`..passes.int8_weights`), but sums of float32 are added up in another order and ``tanh`` is
another polynomial: a difference of some 1e-7, after which an activation that lies between two of its 255 steps may fall
to the other, and a near tie be decided otherwise. A case that this could happen to would be a false alarm. So a case is
kept only where all choices stay the same

- on several threads, which cut products otherwise;
- without ONNX Runtime's rewrites, which fuse operators;
- and with every weight and scale moved at random by :attr:`.recipes.Recipe.nudge` of itself, three times: by a hundred
  times and more of what processors differ by.

In a case that is left a choice is clear by a wide margin, so one that differs on another machine is no matter of
rounding: the graph is another, or the machine computes something else. Not one case left is an error. Floats that hang
on the choices are held to what these changes moved them by.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ...bundle import Bundle, GoldenCase
from ...errors import BudgetError
from ...runtime.comparison import compare, scale_of
from ...runtime.options import own_options
from ...runtime.ort import import_ort
from ...runtime.session import load
from ...runtime.verify import answer_cases
from ..parity import golden_cases
from ..saving import save_variant
from ..streaming import CHUNKS
from .building import read_graph, write_bundle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ...manifest import Variant
    from ...runtime.session import Session
    from ...signature import Signature
    from ..parity import Answers
    from .recipes import Recipe

_SEVERAL = 2
_NUDGES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Own:
    """Golden vectors of a variant's own.

    Attributes:
        cases: a few of the matrix; what hangs on choices is the variant's answer, all else fp32's.
        share: the largest difference of a float that hangs on choices when rounding was changed, as a share of the
            output's magnitude.
    """

    cases: Sequence[GoldenCase]
    share: float


def own_golden(
    bundle: Bundle,
    folders: Sequence[Path],
    variant: Variant,
    recipe: Recipe,
    answers: Answers,
    *,
    chosen: Collection[str],
) -> Own:
    """Golden vectors of a variant's own, from cases that hang on no rounding.

    Args:
        bundle: the fp32 bundle.
        folders: bundles with the variant, whose choices must be the same: the one that was proven first, and the one
            that is written where that is another graph.
        variant: the variant.
        recipe: of its precision.
        answers: fp32's, over the parity matrix.
        chosen: names of the outputs that hang on choices.

    Raises:
        BudgetError: rounding decides every case.
    """
    signature = bundle.manifest.signature
    given = [
        GoldenCase(inputs=case.inputs, outputs=reference)
        for case, reference in zip(answers.cases, answers.references, strict=True)
    ]
    with _open(folders[0], variant) as session:
        said = _answers(session, given, range(len(given)))
    steady = set(said)
    others: list[Mapping[int, Mapping[str, NDArray[Any]]]] = []
    for session in _otherwise(bundle, folders, variant, recipe.nudge):
        found = _answers(session, given, sorted(steady))
        steady = {i for i in steady if _alike(said[i], found[i], signature, chosen)}
        others.append(found)
    if not steady:
        raise BudgetError(
            f"rounding decides what '{variant.key}' of '{bundle.path}' chooses in all {len(said)} cases of its parity "
            f"matrix: its weights, moved by {recipe.nudge:.0e} of themselves, give other whole numbers. So nothing "
            "would prove it on another machine. Keep it in fp32, or export trained weights."
        )
    kept = sorted(steady)
    mixed = [{**given[i].outputs, **{name: said[i][name] for name in chosen}} for i in kept]
    cases = golden_cases(replace(answers, cases=[answers.cases[i] for i in kept], references=mixed))
    taken = {id(one.inputs) for one in cases}
    rows = [i for i in kept if id(given[i].inputs) in taken]
    share = 0.0
    for name in _floats(signature, chosen):
        scale = scale_of(said[i][name] for i in rows)
        apart = (
            compare(said[i][name], one[i][name], tolerance=recipe.widest, scale=scale) for one in others for i in rows
        )
        share = max([share, *(recipe.widest.atol * one.max_abs_diff / one.allowed for one in apart)])
    return Own(cases=cases, share=share)


def agreement(session: Session, cases: Sequence[GoldenCase], chosen: Collection[str]) -> float:
    """The share of the whole numbers and booleans in golden vectors that a session answers alike, from 0 to 1.

    What one of both has and the other has not, such as the tokens of a longer answer, counts as different.
    """
    alike = of = 0
    for case, answer in zip(*answer_cases(session, cases), strict=True):
        for name in chosen:
            one, other = case.outputs[name], answer[name]
            if one.dtype.kind != "f":
                both = tuple(slice(min(sizes)) for sizes in zip(one.shape, other.shape, strict=True))
                alike += int((one[both] == other[both]).sum())
                of += max(one.size, other.size)
    return alike / of if of else 1.0


def same_choices(
    signature: Signature,
    reference: Mapping[str, NDArray[Any]],
    found: Mapping[str, NDArray[Any]],
    chosen: Collection[str],
) -> bool:
    """Whether all whole numbers and booleans that hang on choices are the same."""
    floats = _floats(signature, chosen)
    return all(np.array_equal(reference[name], found[name]) for name in chosen if name not in floats)


def nudge(model: ir.Model, amount: float, seed: int) -> None:
    """Move every float weight of a graph and its bodies by a random share of itself; in place.

    Single numbers stay: they are constants of formulas and shapes, not weights.

    Args:
        model: the graph.
        amount: standard deviation of the share.
        seed: of the shares.
    """
    generator = np.random.default_rng(seed)

    def moved(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
        array = tensor.numpy()
        return ir.tensor((array * (1 + amount * generator.standard_normal(array.shape))).astype(array.dtype))

    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None and _is_weight(value.const_value):
                value.const_value = moved(value.const_value)
        for node in graph:
            given = node.attributes.get("value") if node.op_type == "Constant" else None
            if given is not None and given.type == ir.AttributeType.TENSOR and _is_weight(given.as_tensor()):
                node.attributes["value"] = ir.AttrTensor("value", moved(given.as_tensor()))


def _is_weight(tensor: ir.TensorProtocol) -> bool:
    return tensor.size > 1 and tensor.dtype.is_floating_point()


def _otherwise(bundle: Bundle, folders: Sequence[Path], variant: Variant, amount: float) -> Iterator[Session]:
    """Sessions that round otherwise than the first folder's on one thread."""
    plain = own_options(import_ort(), 1)
    plain.graph_optimization_level = import_ort().GraphOptimizationLevel.ORT_DISABLE_ALL
    for folder in folders:
        with _open(folder, variant, threads=_SEVERAL) as session:
            yield session
        with _open(folder, variant, threads=None, session_options=plain) as session:
            yield session
        for seed in range(_NUDGES):
            with _nudged(bundle, folder, variant, amount, seed) as nudged, _open(nudged, variant) as session:
                yield session


@contextmanager
def _nudged(bundle: Bundle, folder: Path, variant: Variant, amount: float, seed: int) -> Iterator[Path]:
    """A folder with the variant whose weights were moved."""
    with tempfile.TemporaryDirectory() as name:
        graph = read_graph(Bundle.open(folder), variant)
        nudge(graph, amount, seed)
        write_bundle(bundle, Path(name), [save_variant(graph, Path(name), variant, keep=[CHUNKS])])
        yield Path(name)


@contextmanager
def _open(folder: Path, variant: Variant, *, threads: int | None = 1, **options: Any) -> Iterator[Session]:  # noqa: ANN401
    given = {"precision": variant.precision, "mode": variant.mode, "threads": threads, **options}
    with load(folder, provider="cpu", **given) as session:
        yield session


def _answers(
    session: Session, given: Sequence[GoldenCase], rows: Sequence[int]
) -> dict[int, Mapping[str, NDArray[Any]]]:
    """A session's answers to these cases by their number; those that it cannot be held against are left out."""
    numbers = {id(given[i]): i for i in rows}
    kept, said = answer_cases(session, [given[i] for i in rows])
    return {numbers[id(case)]: answer for case, answer in zip(kept, said, strict=True)}


def _alike(
    one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]], signature: Signature, chosen: Collection[str]
) -> bool:
    shapes = all(one[name].shape == other[name].shape for name in chosen)
    return (
        shapes
        and same_choices(signature, one, other, chosen)
        and not any(np.isnan(side[name]).any() for side in (one, other) for name in _floats(signature, chosen))
    )


def _floats(signature: Signature, chosen: Collection[str]) -> list[str]:
    return [spec.name for spec in signature.outputs if spec.name in chosen and spec.dtype.startswith("float")]
