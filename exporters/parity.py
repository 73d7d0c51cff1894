"""Parity: a source and its variant side by side over the whole matrix. Run everything, then compare, then judge."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..bundle import GoldenCase
from ..manifest import Tolerance
from ..runtime.comparison import Difference, common_region, compare, scale_of
from .arguments import bind
from .matrix import LOOSE
from .outputs import flatten_outputs
from .quiet import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..signature import Signature
    from .matrix import Case

#: What an fp32 variant is held to: 1e-5 of each output's magnitude over the whole matrix.
FP32 = Tolerance(atol=1e-5, floor=1e-3)

#: Inputs by name to outputs by name. A source, a session and a fake in a test are all of this form.
Runner = Callable[[Mapping[str, "NDArray[Any]"]], Mapping[str, "NDArray[Any]"]]

#: How many cases become golden vectors, and how large one may be.
_GOLDEN_CASES = 4
_GOLDEN_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One output of one case.

    Attributes:
        case: the case, for people.
        sizes: its sizes.
        lengths: its kind of lengths.
        states: whether its states were absent or random.
        chunks: how the sequence was cut, or empty.
        output: the output's name.
        max_abs_diff: how far apart; infinity where they cannot be compared.
        allowed: how far apart they may be.
        passed: whether that is near enough.
        reason: why they cannot be compared, or empty.
        index: where the largest difference is.
    """

    case: str
    sizes: Mapping[str, int]
    lengths: str
    states: str
    chunks: str
    output: str
    max_abs_diff: float
    allowed: float
    passed: bool
    reason: str
    index: tuple[int, ...] | None

    @property
    def told(self) -> str:
        """Which output, at which case, how far: for a message."""
        distance = self.reason or f"max_abs_diff {self.max_abs_diff:.3g}, allowed is {self.allowed:.3g}"
        return f"output '{self.output}' at {self.case}: {distance}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ParityReport:
    """What came of every case of the matrix.

    Attributes:
        variant: the variant's key, ``fp32-offline``.
        tolerance: what floats were held to.
        rows: one for each output of each case that the source answers.
        undefined: cases that the source itself refuses, with its reason.
        undecided: cases that were not compared because rounding decides the source's own answer.
    """

    variant: str
    tolerance: Tolerance
    rows: tuple[Row, ...]
    undefined: Mapping[str, str]
    undecided: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether there is something to judge and all of it passed."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def misses(self) -> list[Row]:
        """Rows that did not pass, the farthest first."""
        return sorted((row for row in self.rows if not row.passed), key=lambda row: -row.max_abs_diff)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; infinity is written as null."""
        return {
            "variant": self.variant,
            "passed": self.passed,
            "tolerance": {"atol": self.tolerance.atol, "floor": self.tolerance.floor},
            "cases": [
                {
                    "sizes": dict(row.sizes),
                    "lengths": row.lengths,
                    "states": row.states,
                    "chunks": row.chunks,
                    "output": row.output,
                    "max_abs_diff": row.max_abs_diff if np.isfinite(row.max_abs_diff) else None,
                    "allowed": row.allowed,
                    "passed": row.passed,
                    "reason": row.reason,
                }
                for row in self.rows
            ],
            "undefined": dict(self.undefined),
            "undecided": dict(self.undecided),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What the source said to every case.

    Attributes:
        cases: the cases that it answers.
        references: its outputs for each.
        undefined: the cases that it refuses, with its reason.
        undecided: the cases in which rounding decides its answer; they are not among ``cases``.
    """

    cases: Sequence[Case]
    references: Sequence[Mapping[str, NDArray[Any]]]
    undefined: Mapping[str, str]
    undecided: Mapping[str, str] = field(default_factory=dict)


def source_runner(module: torch.nn.Module, signature: Signature) -> Runner:
    """The source as a runner.

    States that are absent are left to ``forward``'s own default; where it has none they are zeros, as a bundle's are.
    """
    parameters = inspect.signature(module.forward).parameters
    begun = [
        spec
        for spec in signature.inputs
        if spec.name in signature.state_names
        and (parameter := parameters.get(spec.argument.partition(".")[0])) is not None
        and parameter.default is parameter.empty
    ]

    def infer(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        sizes = {
            axis: size
            for spec in signature.inputs
            if spec.name in inputs
            for axis, size in zip(spec.axes, inputs[spec.name].shape, strict=True)
        }
        for spec in begun:
            if spec.name not in tensors and sizes.keys() >= set(spec.dynamic_axes):
                shape = [sizes[axis] if isinstance(axis, str) else axis for axis in spec.axes]
                tensors[spec.name] = torch.zeros(shape, dtype=getattr(torch, spec.dtype))
        with torch.no_grad(), quiet():
            result = flatten_outputs(module(**bind(signature, tensors)))
        return {spec.name: tensor.numpy() for spec, tensor in zip(signature.outputs, result, strict=True)}

    return infer


def ask(source: Runner, cases: Sequence[Case], progress: Callable[[], None] | None = None) -> Answers:
    """Run the source over every case."""
    answered: list[Case] = []
    references: list[Mapping[str, NDArray[Any]]] = []
    undefined: dict[str, str] = {}
    threads = torch.get_num_threads()
    # One thread, as for the variant: equal bytes on every machine, and no waiting of small layers for each other.
    torch.set_num_threads(1)
    try:
        for case in cases:
            _ask_one(source, case, answered, references, undefined)
            if progress is not None:
                progress()
    finally:
        torch.set_num_threads(threads)
    return Answers(cases=answered, references=references, undefined=undefined)


def _ask_one(
    source: Runner,
    case: Case,
    answered: list[Case],
    references: list[Mapping[str, NDArray[Any]]],
    undefined: dict[str, str],
) -> None:
    try:
        references.append({name: array.copy() for name, array in source(case.inputs).items()})
        answered.append(case)
    except Exception as error:  # noqa: BLE001  (whatever the source raises is its answer)
        undefined[str(case)] = f"{type(error).__name__}: {error}".splitlines()[0]


def without_loose(answers: Answers) -> Answers:
    """The answers without the cases in which no row fills the array."""
    kept = [i for i, case in enumerate(answers.cases) if case.lengths not in LOOSE]
    return replace(answers, cases=[answers.cases[i] for i in kept], references=[answers.references[i] for i in kept])


def judge(
    answers: Answers,
    candidate: Runner,
    signature: Signature,
    *,
    variant: str,
    tolerance: Tolerance = FP32,
    progress: Callable[[], None] | None = None,
) -> ParityReport:
    """Run a variant over every case that the source answered, then compare all of them.

    Args:
        answers: the source's answers, from :func:`ask`.
        candidate: the variant.
        signature: names and axes of the outputs.
        variant: the variant's key, for the report.
        tolerance: how far floats may be apart.
        progress: called after each case.
    """
    results: list[Mapping[str, NDArray[Any]] | str] = []
    for case in answers.cases:
        try:
            results.append(candidate(case.inputs))
        except Exception as error:  # noqa: BLE001  (a variant that fails is a miss, reported with the others)
            results.append(f"the variant fails: {type(error).__name__}: {error}".splitlines()[0])
        if progress is not None:
            progress()
    measured = {one.axis for one in signature.lengths}
    rows: list[Row] = []
    for spec in signature.outputs:
        scale = scale_of(reference[spec.name] for reference in answers.references)
        for case, reference, result in zip(answers.cases, answers.references, results, strict=True):
            if not isinstance(result, str) and spec.name not in result:
                result = "the variant does not give this output"  # noqa: PLW2901  (a miss like any other)
            if isinstance(result, str):
                difference = Difference(max_abs_diff=float("inf"), allowed=0.0, reason=result)
            else:
                cut = common_region(reference[spec.name], result[spec.name], axes=spec.axes, measured=measured)
                difference = compare(reference[spec.name], cut, tolerance=tolerance, scale=scale)
            rows.append(_row(case, spec.name, difference))
    return ParityReport(
        variant=variant,
        tolerance=tolerance,
        rows=tuple(rows),
        undefined=answers.undefined,
        undecided=answers.undecided,
    )


def golden_cases(answers: Answers) -> list[GoldenCase]:
    """A few cases to carry in the bundle: small ones; half of them with rows of different lengths, if there are."""
    small = sorted(
        range(len(answers.cases)),
        key=lambda i: (
            max(answers.cases[i].sizes.values(), default=7) < 7,
            min(answers.cases[i].sizes.values(), default=2) < 2,
            _size(answers, i),
            i,
        ),
    )
    fitting = [i for i in small if _size(answers, i) <= _GOLDEN_BYTES] or small[:1]
    ragged = [i for i in fitting if answers.cases[i].lengths == "mixed"]
    # Whole rows, because a streaming variant has no lengths and is held against these alone.
    whole = [i for i in fitting if answers.cases[i].lengths in {"", "full"}]
    # One of them without states: a stream begins at its own.
    fresh = [i for i in whole if answers.cases[i].states != "random"][:1]
    chosen = [*ragged[: _GOLDEN_CASES // 2], *fresh, *(i for i in whole if i not in fresh)]
    return [
        GoldenCase(inputs=answers.cases[i].inputs, outputs=answers.references[i])
        for i in (chosen or fitting)[:_GOLDEN_CASES]
    ]


def _size(answers: Answers, i: int) -> int:
    return _bytes(answers.cases[i].inputs) + _bytes(answers.references[i])


def _bytes(arrays: Mapping[str, NDArray[Any]]) -> int:
    return sum(array.nbytes for array in arrays.values())


def _row(case: Case, output: str, difference: Difference) -> Row:
    return Row(
        case=str(case),
        sizes=case.sizes,
        lengths=case.lengths,
        states=case.states,
        chunks=case.chunks,
        output=output,
        max_abs_diff=difference.max_abs_diff,
        allowed=difference.allowed,
        passed=difference.passed,
        reason=difference.reason,
        index=difference.index,
    )
