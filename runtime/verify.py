"""Repeat a bundle's proof on this machine, without its source: every golden case through the real session.

A variant is held against the source's answers. One of lower precision that was proven by a metric, and whose answers
hang on choices (the tokens of a search, when to stop), is held against golden vectors of its own: near a tie it may
choose otherwise than the source and be as good. They hold only cases in which its choices stay the same when all its
weights are moved by more than what processors round differently, see :mod:`rnnx.exporters.quantization.steadiness`. So
a choice that differs here says that something else is run than what was proven.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..bundle import Bundle
from ..errors import VariantError
from ..manifest import GOLDEN
from .casting import cast_inputs, cast_outputs
from .choice import AUTO
from .comparison import Difference, common_region, compare, scale_of
from .session import STREAMING, load
from .sizes import covering
from .stream import run_in_chunks
from .tensorrt import TENSORRT

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ..bundle import GoldenCase
    from ..signature import Signature
    from .choice import ProviderChoice
    from .session import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyRow:
    """One output of one golden case in one variant.

    Attributes:
        variant: the variant's key, such as ``fp32-offline``.
        case: number of the golden case.
        shapes: shape of each input of the case.
        output: name of the output.
        max_abs_diff: largest absolute difference from the golden vector; infinite where none can be told.
        allowed: largest difference that passes.
        passed: whether it passed.
        reason: why it cannot be compared by value, or empty.
    """

    variant: str
    case: int
    shapes: Mapping[str, tuple[int, ...]]
    output: str
    max_abs_diff: float
    allowed: float
    passed: bool
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; an infinite difference is None."""
        return {
            "variant": self.variant,
            "case": self.case,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "output": self.output,
            "max_abs_diff": self.max_abs_diff if math.isfinite(self.max_abs_diff) else None,
            "allowed": self.allowed,
            "passed": self.passed,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """What :func:`verify` found.

    Attributes:
        path: the bundle's folder.
        sha256: SHA-256 of its manifest.
        files: number of files whose hashes were checked.
        provider: the provider that every variant ran on.
        rows: one for each variant, golden case and output.
        own: of variants that were held against golden vectors of their own, by key, what proved them.
    """

    path: str
    sha256: str
    files: int
    provider: ProviderChoice
    rows: tuple[VerifyRow, ...]
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether something was compared, and all of it passed."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "bundle": self.path,
            "sha256": self.sha256,
            "files": self.files,
            "provider": self.provider.to_json(),
            "passed": self.passed,
            "own": dict(self.own),
            "rows": [row.to_json() for row in self.rows],
        }


def verify(path: str | os.PathLike[str], *, provider: str = AUTO, precision: str | None = None) -> VerifyReport:
    """Check every file's hash, then hold every variant against the golden vectors.

    Args:
        path: the bundle's folder.
        provider: as for :func:`rnnx.load`.
        precision: the only precision to verify; None for all that the bundle has.

    Raises:
        BundleError: the bundle cannot be read, one of its files is not what its manifest says, or it holds no golden
            vectors.
        VariantError: the bundle has no such variant.
        ProviderError, MissingExtraError, SessionError: as for :func:`rnnx.load`.
    """
    bundle = Bundle.open(path)
    bundle.check()
    variants = [one for one in bundle.manifest.variants if precision in {None, one.precision}]
    if not variants:
        there = ", ".join(f"'{one.key}'" for one in bundle.manifest.variants)
        raise VariantError(f"bundle '{path}' has no variant of precision '{precision}'; it has {there}.")
    rows: list[VerifyRow] = []
    for variant in variants:
        signature = variant.signature or bundle.manifest.signature
        cases = bundle.golden(variant)
        # TensorRT is told what will come: the golden vectors, and of a stream its single steps.
        ranges = covering(signature, (case.inputs for case in cases)) if provider == TENSORRT else None
        with load(
            path,
            provider=provider,
            precision=variant.precision,
            mode=variant.mode,
            form=variant.form,
            ranges=ranges,
        ) as session:
            choice = session.provider_report
            rows += golden_rows(session, cases)
    return VerifyReport(
        path=str(path),
        sha256=bundle.sha256,
        files=len(bundle.manifest.files),
        provider=choice,
        rows=tuple(rows),
        own={one.key: str(one.quantization or "no record says") for one in variants if one.golden},
    )


def golden_rows(session: Session, cases: Sequence[GoldenCase]) -> list[VerifyRow]:
    """Run every golden case, then compare all outputs of the bundle's signature; a stream is pushed step by step.

    Args:
        session: any session of the bundle, whatever its options.
        cases: the golden vectors of the session's variant.

    Raises:
        SessionError: ONNX Runtime failed.
    """
    variant, signature = session.variant, session.bundle.manifest.signature
    measured = {one.axis for one in signature.lengths}
    given, file = cases, variant.golden or GOLDEN
    cases, answers = answer_cases(session, cases)
    if not cases and (variant.mode == STREAMING or given or variant.golden):
        # Golden vectors that are all left out would let a variant pass unseen.
        none_fits = bool(given) and not any(_fits(case, session) for case in given)
        rows_to_push = "whole rows to push" if variant.mode == STREAMING else "case"
        what = "case of sizes that this session takes" if none_fits else rows_to_push
        nothing = f"'{file}' holds no {what}"
        outputs = [spec.name for spec in signature.outputs]
        return [
            VerifyRow(
                variant=variant.key,
                case=0,
                shapes={},
                output=name,
                max_abs_diff=math.inf,
                allowed=0.0,
                passed=False,
                reason=nothing,
            )
            for name in outputs
        ]
    rows = []
    for spec in signature.outputs:
        scale = scale_of(case.outputs[spec.name] for case in cases if spec.name in case.outputs)
        for number, (case, answer) in enumerate(zip(cases, answers, strict=True)):
            reference = case.outputs.get(spec.name)
            if reference is None:
                # A golden case without this output would prove nothing of it.
                found = Difference(max_abs_diff=math.inf, allowed=0.0, reason=f"'{file}' holds no such output")
            else:
                candidate = common_region(reference, answer[spec.name], axes=spec.axes, measured=measured)
                found = compare(reference, candidate, tolerance=variant.tolerance, scale=scale)
            rows.append(
                VerifyRow(
                    variant=variant.key,
                    case=number,
                    shapes={name: array.shape for name, array in case.inputs.items()},
                    output=spec.name,
                    max_abs_diff=found.max_abs_diff,
                    allowed=found.allowed,
                    passed=found.passed,
                    reason=found.reason,
                )
            )
    return rows


def answer_cases(
    session: Session, cases: Sequence[GoldenCase]
) -> tuple[list[GoldenCase], list[dict[str, NDArray[Any]]]]:
    """What a session answers to golden cases; a stream is pushed step by step.

    Returns:
        The cases that the session can be held against (of sizes that it takes; a stream has whole rows only), and the
        outputs of each by name.

    Raises:
        SessionError: ONNX Runtime failed.
    """
    signature = session.bundle.manifest.signature
    time = signature.time_axis
    cases = [case for case in cases if _fits(case, session)]
    if session.variant.mode != STREAMING or time is None:
        given = [cast_inputs(session.signature, case.inputs) for case in cases]
        return list(cases), [cast_outputs(signature, session.run(one)) for one in given]
    whole = [case for case in cases if _is_whole(case, signature, time)]
    cuts = [range(1, _steps(case, signature, time)) for case in whole]
    given = [cast_inputs(session.signature, case.inputs) for case in whole]
    streamed = [run_in_chunks(session, one, at, time) for one, at in zip(given, cuts, strict=True)]
    return whole, [cast_outputs(signature, one) for one in streamed]


def _fits(case: GoldenCase, session: Session) -> bool:
    """Whether the session takes inputs of these sizes; a stream is given one step at a time, whatever the case has."""
    signature, own = session.bundle.manifest.signature, session.signature
    time = signature.time_axis if session.variant.mode == STREAMING else None
    names = {spec.name for spec in own.inputs}
    return all(
        own.range(axis).admits(size)
        for spec in signature.inputs
        if spec.name in case.inputs and spec.name in names
        for axis, size in zip(spec.axes, case.inputs[spec.name].shape, strict=True)
        if isinstance(axis, str) and axis != time
    )


def _is_whole(case: GoldenCase, signature: Signature, time: str) -> bool:
    """Whether a stream can be held against this case: every row to the end, and no state but the initial one."""
    steps = _steps(case, signature, time)
    lengths_full = all((case.inputs[one.name] == steps).all() for one in signature.lengths)
    return lengths_full and not any(one.name in case.inputs for one in signature.states)


def _steps(case: GoldenCase, signature: Signature, time: str) -> int:
    timed = next(spec for spec in signature.inputs if time in spec.axes)
    return int(case.inputs[timed.name].shape[timed.axes.index(time)])
