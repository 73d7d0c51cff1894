"""Other forms of a bundle's graphs: variants that compute the same in another way, faster at some sizes.

No form is the fastest everywhere, so they stand beside the graph that export or quantization made, which stays what is
loaded where no form is named; measuring says which to take. There are two:

- ``scan``, of fp32: see :mod:`.passes.scan_form`.
- ``step``, of streaming variants in fp32 and int8: one frame a run, see :mod:`.passes.step_form`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from ..bundle import Bundle, staging, write_manifest
from ..errors import LoweringError, ParityError, SignatureError
from ..manifest import DESCENDING, PARITY, variant_key
from ..runtime.session import STREAMING, load
from ..runtime.verify import golden_rows
from ..signature import AxisRange
from .matrix import build_matrix
from .parity import ask, judge, without_loose
from .passes.compact import CompactPass
from .passes.fold import FoldPass
from .passes.scan_form import SCAN, ScanFormPass, refusals
from .passes.step_form import STEP, StepFormPass
from .quantization.proving import answerable
from .saving import save_variant
from .streaming import EVERY_CUT, SINGLE_STEPS, cut_run, prove_streaming, streams

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ..manifest import Variant
    from ..signature import Signature
    from .parity import Answers, ParityReport

PRECISION = "fp32"
#: Of which precisions and in which modes each form is.
FORMS = {SCAN: ((PRECISION,), ("offline", STREAMING)), STEP: ((PRECISION, "int8"), (STREAMING,))}


def add_forms(
    path: str | os.PathLike[str],
    *,
    mode: str = "offline",
    forms: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Variant]:
    """Give a bundle other forms of its variants: those that can be made of the ones that are asked for.

    A form ``scan`` is held against the variant that export made over the whole parity matrix; a form ``step`` against
    the streaming variant of its own precision, frame by frame. Both are held against the golden vectors, all at that
    variant's tolerance. The bundle is replaced as a whole, so that nobody sees half of one.

    Args:
        path: a bundle with an fp32 variant of the mode.
        mode: ``offline`` or ``streaming``.
        forms: ``scan`` and ``step``; those of the mode by default.
        precisions: of the variants; those of the bundle by default.
        progress: called with a line for each form that is made, or that cannot be made while another can.

    Returns:
        The variants in these forms, such as ``fp32-offline-scan``; those that the bundle had already are not made anew.

    Raises:
        BundleError, VariantError: the bundle cannot be read or written, or has no such variant of this mode.
        SignatureError: a form is not known.
        LoweringError: there is no other form, and why; or the ONNX checker rejects what was made.
        ParityError: a form misses, and where. The bundle then is as it was.
    """
    bundle = Bundle.open(path)
    bundle.check()
    there = {one.key: one for one in bundle.manifest.variants}
    found: list[Variant] = []
    graphs: list[tuple[Variant, ir.Model]] = []
    refused: list[LoweringError] = []
    for base, form in _wanted(bundle, mode, forms, precisions):
        key = variant_key(base.precision, mode, form)
        if key in there:
            found.append(there[key])
            continue
        try:
            graphs.append(_changed(bundle, base, form))
        except LoweringError as error:
            refused.append(error)
    if not found and not graphs:
        nothing = f"there is no other form of a variant of '{bundle.path}' among those that are asked for."
        raise LoweringError(" ".join(map(str, refused)) or nothing)
    tell = progress or (lambda _: None)
    for why in refused:
        tell(str(why))
    if not graphs:
        return found
    with staging(bundle.path, overwrite=True) as folder:
        made = []
        for variant, graph in graphs:
            tell(f"{variant_key(variant.precision, mode)}: the form '{variant.form}'")
            made.append(save_variant(graph, folder, variant, keep=None if variant.precision == PRECISION else []))
        bundle.copy_files(bundle.manifest.files, folder)
        whole = replace(bundle.manifest, variants=(*bundle.manifest.variants, *made))
        write_manifest(folder, whole)
        kept: dict[str, Any] = json.loads(bundle.read(PARITY)) if PARITY in bundle.manifest.files else {}
        kept["reports"] = [*kept.get("reports", []), *(_prove(bundle, folder, one).to_json() for one in made)]
        (folder / PARITY).write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        # What was tuned in the meantime stays.
        write_manifest(folder, replace(whole, tuned=Bundle.open(path).manifest.tuned))
    return [*found, *made]


def _wanted(
    bundle: Bundle, mode: str, forms: Sequence[str] | None, precisions: Sequence[str] | None
) -> Iterator[tuple[Variant, str]]:
    """The variants to change, and into which form.

    Raises:
        SignatureError: a form is not known.
        VariantError: the bundle has no variant that is asked for.
    """
    for form in forms or ():
        if form not in FORMS:
            raise SignatureError(f"the form '{form}' is not known; allowed are {', '.join(map(repr, FORMS))}.")
    there = {one.precision for one in bundle.manifest.variants if one.mode == mode and not one.form}
    bases = [bundle.variant(one, mode) for one in precisions or dict.fromkeys((PRECISION, *sorted(there)))]
    for form in forms or FORMS:
        of_precisions, of_modes = FORMS[form]
        for base in bases:
            if base.precision in of_precisions and mode in of_modes:
                yield base, form


def _changed(bundle: Bundle, base: Variant, form: str) -> tuple[Variant, ir.Model]:
    """A variant's graph in another form, and what the manifest will say of it, but for its file.

    Raises:
        LoweringError: it has none.
    """
    return _in_steps(bundle, base) if form == STEP else _in_scans(bundle, base)


def _in_scans(bundle: Bundle, base: Variant) -> tuple[Variant, ir.Model]:
    signature = base.signature or bundle.manifest.signature
    empty = [one.name for one in signature.ranges if one.minimum < 1]
    if empty:
        # Seen with 1.32: a Scan over no steps.
        raise LoweringError(
            f"'{base.key}' of '{bundle.path}' takes the size 0 of '{empty[0]}', at which ONNX Runtime's Scan ends the "
            "process. It keeps its form."
        )
    graph = ir.load(bundle.path / base.file)
    refused = refusals(graph)
    if not ScanFormPass()(graph).modified:
        told = "; ".join(f"'{name}' because {why}" for name, why in refused.items()) or "it has none"
        raise LoweringError(f"no layer of '{base.key}' of '{bundle.path}' has another form: {told}.")
    return replace(base, form=SCAN), graph


def _in_steps(bundle: Bundle, base: Variant) -> tuple[Variant, ir.Model]:
    signature, time = base.signature or bundle.manifest.signature, bundle.manifest.signature.time_axis
    if base.chunks is not None or time is None:
        why = "the model has no axis of time" if base.chunks is None else str(base.chunks)
        raise LoweringError(
            f"'{base.key}' of '{bundle.path}' has no form '{STEP}', whose every run takes one frame and answers it: "
            f"{why}. It keeps its form."
        )
    graph = ir.load(bundle.path / base.file)
    steps = StepFormPass(time=time, states=signature.state_names)
    graph = steps(graph).model
    if not steps.inlined:
        raise LoweringError(
            f"'{base.key}' of '{bundle.path}' has no form '{STEP}': it has no Scan over time to take apart, and the "
            "operators LSTM, GRU and RNN are one node already. It keeps its form."
        )
    # What is in eight bits in the file, and multiplied out when it is loaded, must not be folded.
    graph = (FoldPass() if base.precision == PRECISION else CompactPass())(graph).model
    ranges = (*(one for one in signature.ranges if one.name != time), AxisRange(name=time, minimum=1, maximum=1))
    return replace(base, form=STEP, signature=replace(signature, ranges=ranges).check()), graph


def _prove(bundle: Bundle, folder: Path, made: Variant) -> ParityReport:
    """The parity matrix and the golden vectors.

    Raises:
        ParityError: it misses.
    """
    answers, compared = _answers(bundle, made)
    time = compared.time_axis
    options: dict[str, Any] = {"provider": "cpu", "precision": made.precision, "mode": made.mode, "threads": 1}
    with load(folder, form=made.form, **options) as session:
        if made.mode == STREAMING:
            assert time is not None
            cuts = EVERY_CUT if made.form != STEP else SINGLE_STEPS
            report = prove_streaming(answers, session, compared, time, tolerance=made.tolerance, cuts=cuts)
        else:
            report = judge(answers, session.run, compared, variant=made.key, tolerance=made.tolerance)
        golden = golden_rows(session, bundle.golden(made))
    if not report.passed:
        missed = report.misses[0].told if report.misses else "there was nothing to compare"
        of = "export made" if made.form != STEP else f"'{variant_key(made.precision, made.mode)}' answers"
        raise ParityError(f"'{made.key}' of '{bundle.path}' is not what {of}: {missed}. Nothing was written.")
    for row in golden:
        if not row.passed:
            raise ParityError(
                f"'{made.key}' of '{bundle.path}' misses golden vector {row.case}: output '{row.output}' "
                f"{row.reason or f'max_abs_diff {row.max_abs_diff:.3g}, allowed is {row.allowed:.3g}'}. "
                "Nothing was written."
            )
    return report


def _answers(bundle: Bundle, made: Variant) -> tuple[Answers, Signature]:
    """What a form is held against, and the signature of the outputs to compare.

    That is what the variant that export made answers to the matrix. A form for single frames has another reference:
    the streaming variant of its own precision, pushed frame by frame as well.
    """
    signature, source = bundle.manifest.signature, bundle.manifest.source
    cases = answerable(bundle, build_matrix(signature, traced={}, descending=bool(source.get(DESCENDING))))
    if made.form == STEP:
        time = signature.time_axis
        assert time is not None
        cases = [case for case in cases if streams(case, time, *SINGLE_STEPS)]
        options: dict[str, Any] = {"precision": made.precision, "mode": made.mode}
        with load(bundle.path, provider="cpu", threads=1, **options) as session:
            answers = ask(cut_run(session, signature, time, *SINGLE_STEPS), cases)
    else:
        with load(bundle.path, provider="cpu", precision=PRECISION, threads=1) as session:
            answers = ask(session.run, cases)
    if any(one.tight for one in signature.lengths):
        answers = without_loose(answers)
    # Of noise, whole numbers say little: near a tie either answer is right. The golden vectors hold them.
    compared = replace(signature, outputs=tuple(one for one in signature.outputs if one.dtype.startswith("float")))
    return answers, compared
