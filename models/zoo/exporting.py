"""``rnnx zoo export``: from a committed checkpoint to a proven bundle with its assets and its int8 variants."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...atomic import replacing_folder
from ...bundle import Bundle, check_target
from ...errors import BudgetError, MissingDataError
from ...exporters import Budget, export, quantize
from ...exporters.quantization.budgets import METRIC
from ...exporters.quantization.budgets import Metric as QuantizationMetric
from ...exporters.quantization.calibration import Calibration
from ...runtime.session import load
from .recording import Recorder
from .registry import system as find
from .running import BundleRunner
from .weights import trained

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from ...runtime.session import Session
    from .system import Arrays, System

#: Held-out batches on which the loss of each node alone is told, and rows of each.
_CALIBRATION_BATCHES, _CALIBRATION_ROWS = 4, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What ``rnnx zoo export`` wrote.

    Attributes:
        bundle: on disk.
        notes: what the user should know, one sentence each.
    """

    bundle: Bundle
    notes: tuple[str, ...]


def export_system(
    name: str,
    out: str | os.PathLike[str],
    *,
    checkpoint: Path | None = None,
    data: Path | None = None,
    int8: bool = True,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Made:
    """Export a system of the zoo.

    Args:
        name: in the registry.
        out: the bundle to write, whole or not at all.
        checkpoint: other weights than the committed ones, as ``rnnx zoo train`` writes them.
        data: a folder that holds the unpacked source of held-out examples that may not be committed, on which int8 is
            chosen, where it is not installed.
        int8: add int8 variants, of as many nodes as the system's budget allows on its held-out examples.
        overwrite: replace a bundle at ``out``.
        progress: called with a line for each stage.

    Raises:
        ZooError: there is no such system, or it has no committed weights.
        CheckpointError, CaptureError, ParityError, BundleError: as :func:`rnnx.exporters.export`.
    """
    target = Path(out)
    system = find(name)
    check_target(target, overwrite=overwrite)
    module = trained(system, checkpoint)
    face = system.face
    weights = checkpoint or system.checkpoint
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.resolve().parent) as folder:
        made = Path(folder) / f"{name}.rnnx"
        export(
            module,
            inputs=face.inputs,
            lengths=face.lengths,
            states=face.states,
            outputs=face.outputs,
            ranges=face.ranges,
            example=face.example,
            streaming=face.streaming,
            assets=system.assets(),
            name=name,
            out=made,
            origin={"zoo": name, "checkpoint_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()},
            progress=progress,
        )
        if int8 and system.int8_budget is not None:
            notes += _quantize(system, made, data, progress)
        with replacing_folder(target, lambda: check_target(target, overwrite=overwrite)) as temporary:
            shutil.copytree(made, temporary, dirs_exist_ok=True)
    return Made(bundle=Bundle.open(target), notes=tuple(notes))


def _quantize(system: System, made: Path, data: Path | None, progress: Callable[[str], None] | None) -> list[str]:
    """Add int8 within the system's budget; the notes say so where nothing stays within it."""
    assert system.int8_budget is not None
    try:
        examples = system.examples(data)
    except MissingDataError as error:
        return [f"No int8 variant, because what it loses cannot be measured: {error}"]
    score = system.int8_metric or system.evaluate
    feeds: list[Arrays] = []

    def measure(session: Session) -> float:
        recorder = Recorder(
            BundleRunner(session, system.face), count=0 if feeds else _CALIBRATION_BATCHES, rows=_CALIBRATION_ROWS
        )
        value = score(recorder, examples).value
        feeds.extend(recorder.feeds)
        return value

    with load(made, provider="cpu") as session:
        measure(session)
    calibration = Calibration(cases=feeds, origin="examples that are held out") if feeds else None
    metric = QuantizationMetric(
        name=system.metric.name, score=measure, lower_is_better=not system.metric.higher_is_better, origin=system.name
    )
    try:
        entry = quantize(
            made,
            budget=Budget(kind=METRIC, limit=system.int8_budget, metric=metric),
            data=calibration,
            progress=progress,
        ).entry
    except BudgetError as error:
        # The bundle that it speaks of is a temporary one, and fp32 is written all the same.
        why = str(error).removeprefix("no bundle was written: ").replace(str(made), made.name)
        return [f"No int8 variant: {why}"]
    if entry.agreement is None or entry.reference is None or entry.reached is None:
        return []
    reference, reached = system.metric.show(entry.reference), system.metric.show(entry.reached)
    note = (
        f"int8 may choose otherwise than fp32: what proves it is the {entry.metric}, {reached} on the examples of its "
        f"search where fp32 has {reference}. Of the choices in fp32's golden vectors {entry.agreement:.1%} are the "
        "same; it has golden vectors of its own, and over the parity matrix is compared where it chooses as fp32 does."
    )
    return [note]
