"""Other forms of a bundle's fp32 graph: variants that compute the same in another way, faster at some sizes.

No form is the fastest everywhere, so they stand beside the graph that export made, which stays what is loaded where no
form is named; measuring says which to take.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir

from ..bundle import Bundle, staging, write_manifest
from ..errors import LoweringError, ParityError
from ..manifest import DESCENDING, PARITY
from ..runtime.session import STREAMING, load
from ..runtime.verify import golden_rows
from .matrix import build_matrix
from .parity import ask, judge, without_loose
from .passes.scan_form import SCAN, ScanFormPass, refusals
from .passes.simplify import LIMIT_BYTES, weight_bytes
from .quantization.proving import answerable
from .streaming import prove_streaming

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from ..manifest import Variant
    from ..signature import Signature
    from .parity import Answers, ParityReport

PRECISION = "fp32"


def add_forms(
    path: str | os.PathLike[str],
    *,
    mode: str = "offline",
    progress: Callable[[str], None] | None = None,
) -> list[Variant]:
    """Give a bundle every other form of its fp32 variant; there is one, ``scan``, see :mod:`.passes.scan_form`.

    Each is held against the variant that export made over the whole parity matrix, and against the golden vectors, at
    that variant's tolerance. The bundle is replaced as a whole, so that nobody sees half of one.

    Args:
        path: a bundle with an fp32 variant of the mode.
        mode: ``offline`` or ``streaming``.
        progress: called with a line for each form that is made.

    Returns:
        The variants in other forms, such as ``fp32-offline-scan``; those that the bundle had already are not made anew.

    Raises:
        BundleError, VariantError: the bundle cannot be read or written, or has no fp32 variant of this mode.
        LoweringError: no layer has another form, and why; or the ONNX checker rejects what was made.
        ParityError: a form misses, and where. The bundle then is as it was.
    """
    bundle = Bundle.open(path)
    bundle.check()
    base = bundle.variant(PRECISION, mode)
    found = [one for one in bundle.manifest.variants if (one.precision, one.mode) == (PRECISION, mode) and one.form]
    if any(one.form == SCAN for one in found):
        return found
    if progress is not None:
        progress(f"{base.key}: the form '{SCAN}'")
    graph = _changed(bundle, base)
    with staging(bundle.path, overwrite=True) as folder:
        made = _save(graph, folder, replace(base, form=SCAN))
        for name in bundle.manifest.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / name)
        whole = replace(bundle.manifest, variants=(*bundle.manifest.variants, made))
        write_manifest(folder, whole)
        report = _prove(bundle, folder, made)
        kept: dict[str, Any] = json.loads(bundle.read(PARITY)) if PARITY in bundle.manifest.files else {}
        kept["reports"] = [*kept.get("reports", []), report.to_json()]
        (folder / PARITY).write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        # What was tuned in the meantime stays.
        write_manifest(folder, replace(whole, tuned=Bundle.open(path).manifest.tuned))
    return [*found, made]


def _changed(bundle: Bundle, base: Variant) -> ir.Model:
    """The graph in its other form.

    Raises:
        LoweringError: it has none.
    """
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
    return graph


def _save(graph: ir.Model, folder: Path, variant: Variant) -> Variant:
    file = f"{variant.key}.onnx"
    data_files: tuple[str, ...] = ()
    if weight_bytes(graph) > LIMIT_BYTES // 2:
        data_files = (f"{file}.data",)
        ir.save(graph, folder / file, external_data=data_files[0])
    else:
        proto = ir.to_proto(graph)
        try:
            onnx.checker.check_model(proto, full_check=True)
        except Exception as error:
            raise LoweringError(f"the ONNX checker rejects '{variant.key}': {error}") from error
        (folder / file).write_bytes(proto.SerializeToString(deterministic=True))
    operators = Counter(node.op_type for node in graph.graph.all_nodes())
    return replace(variant, file=file, operators=operators, data_files=data_files)


def _prove(bundle: Bundle, folder: Path, made: Variant) -> ParityReport:
    """The parity matrix and the golden vectors.

    Raises:
        ParityError: it misses.
    """
    answers, compared = _answers(bundle)
    with load(folder, provider="cpu", precision=PRECISION, mode=made.mode, form=made.form, threads=1) as session:
        if made.mode == STREAMING:
            time = compared.time_axis
            assert time is not None
            report = prove_streaming(answers, session, compared, time, tolerance=made.tolerance)
        else:
            report = judge(answers, session.run, compared, variant=made.key, tolerance=made.tolerance)
        golden = golden_rows(session, bundle.golden())
    if not report.passed:
        missed = report.misses[0].told if report.misses else "there was nothing to compare"
        raise ParityError(f"'{made.key}' of '{bundle.path}' is not what export made: {missed}. Nothing was written.")
    for row in golden:
        if not row.passed:
            raise ParityError(
                f"'{made.key}' of '{bundle.path}' misses golden vector {row.case}: output '{row.output}' "
                f"{row.reason or f'max_abs_diff {row.max_abs_diff:.3g}, allowed is {row.allowed:.3g}'}. "
                "Nothing was written."
            )
    return report


def _answers(bundle: Bundle) -> tuple[Answers, Signature]:
    """What the variant that export made answers to the matrix, and the signature of the outputs to compare."""
    signature, source = bundle.manifest.signature, bundle.manifest.source
    cases = answerable(bundle, build_matrix(signature, traced={}, descending=bool(source.get(DESCENDING))))
    with load(bundle.path, provider="cpu", precision=PRECISION, threads=1) as session:
        answers = ask(session.run, cases)
    if any(one.tight for one in signature.lengths):
        answers = without_loose(answers)
    # Of noise, whole numbers say little: near a tie either answer is right. The golden vectors hold them.
    compared = replace(signature, outputs=tuple(one for one in signature.outputs if one.dtype.startswith("float")))
    return answers, compared
