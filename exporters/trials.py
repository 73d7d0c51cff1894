"""One measurement after another: a set of nodes becomes a bundle, is run and held against fp32; all of it logged."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import onnx
import onnx_ir as ir

from ..atomic import write_atomically
from ..bundle import Bundle, write_manifest
from ..errors import LoweringError
from ..manifest import GOLDEN, STATES, Manifest, Tolerance, Variant
from ..runtime.session import STREAMING, load
from ..runtime.stream import run_in_chunks
from ..runtime.verify import verify
from .budgets import DRIFT, METRIC, Budget, drift, sqnr
from .calibration import answers, stretched
from .narrowing import Found
from .passes.int8 import Candidate, Int8Pass, candidates
from .passes.simplify import LIMIT_BYTES, weight_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..runtime.session import Session
    from ..signature import Signature
    from .calibration import Calibration

PRECISION = "int8"
#: The widest that an int8 variant may be off anywhere in the golden vectors and the parity matrix, as a share of each
#: output's magnitude; beyond it is another model. How much is lost on the whole is for the budget to say. What a
#: variant declares is measured, see :func:`declared`.
WIDEST = Tolerance(atol=0.5, floor=1e-3)
#: A declared tolerance is this many times what was measured, for machines that add up in another order, and no less
#: than this share.
_MARGIN, _TIGHTEST = 2.0, 0.01
#: How streams are cut while their loss is measured.
_CHUNK_STEPS = 10
_LOG_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a search is about.

    Attributes:
        bundle: with an fp32 offline variant.
        budget: what may be lost.
        data: what it is measured on.
    """

    bundle: Bundle
    budget: Budget
    data: Calibration

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for an earlier search's measurements to hold."""
        metric = self.budget.metric
        return {
            "version": _LOG_VERSION,
            "bundle": self.bundle.sha256,
            "data": self.data.sha256,
            "budget": self.budget.kind,
            "metric": "" if metric is None else f"{metric.name} {metric.origin} {metric.lower_is_better}",
        }


class Trials:
    """Measures sets of nodes in a temporary folder; a context manager.

    Attributes:
        candidates: the nodes that there are.
        scale: what the cost of a single node is told in: dB where the budget is a metric's, because single nodes
            seldom move a metric at all.
        measured: how many sets were measured here, beyond those that the log knew.
        baseline: the metric's value in fp32, or None.
    """

    def __init__(self, task: Task, log: Path | None, progress: Callable[[str], None] | None = None) -> None:
        """Read the graphs and answer the data in fp32.

        Raises:
            InputError: the data does not fit the model.
            BudgetError: the metric fails in fp32, or there is nothing to measure a loss on.
        """
        self._task = task
        self._log = log
        self._progress = progress
        self._known = _read_log(log, task.fingerprint)
        self.measured = 0
        bundle, budget = task.bundle, task.budget
        self.variants = [one for one in bundle.manifest.variants if one.precision == "fp32"]
        bundle.variant("fp32")
        bundle.check()
        told = any(one.dtype.startswith("float") for one in bundle.manifest.signature.outputs)
        self.scale = Budget() if budget.kind == METRIC and told else budget
        self.candidates: list[Candidate] = candidates(read_graph(bundle, bundle.variant("fp32")))
        self._data = stretched(bundle.manifest.signature, task.data) if budget.kind == DRIFT else task.data
        with load(bundle.path, provider="cpu", precision="fp32", threads=1) as session:
            self.baseline = None if budget.metric is None else budget.metric(session)
            self._references = answers(session, self._data)
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        """These trials."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the temporary folder."""
        self._stack.close()

    def cost(self, name: str) -> float:
        """The loss with this node alone in int8, on :attr:`scale`."""
        return self._measure((name,), check=False).loss

    def measure(self, names: Collection[str]) -> Found:
        """The loss with these nodes in int8, and whether it is within the budget and the golden vectors pass."""
        return self._measure(names, check=True)

    def _measure(self, names: Collection[str], *, check: bool) -> Found:
        key = (tuple(sorted(names)), check)
        if key not in self._known:
            if self._progress is not None:
                which = f"'{next(iter(names))}' alone" if not check else f"{len(names)} of {len(self.candidates)} nodes"
                self._progress(f"{PRECISION}: {which}")
            self.measured += 1
            build(self._task.bundle, self._folder, self.variants, names)
            loss = self._loss(self._task.budget if check else self.scale)
            missed = ""
            if check and self._task.budget.allows(loss):
                report = verify(self._folder, provider="cpu", precision=PRECISION)
                worst = max(
                    (row for row in report.rows if not row.passed), key=lambda row: row.max_abs_diff, default=None
                )
                if worst is not None:
                    missed = f"the golden vectors of {worst.variant} then differ in '{worst.output}'"
            self._known[key] = (loss, missed)
            _write_log(self._log, self._task.fingerprint, self._known)
        loss, missed = self._known[key]
        if not self._task.budget.allows(loss):
            missed = f"with it the model comes to {self._task.budget.told(loss)}"
        return Found(loss=loss, fits=not missed, why=missed)

    def _loss(self, budget: Budget) -> float:
        signature = self._task.bundle.manifest.signature
        if budget.metric is not None:
            with load(self._folder, provider="cpu", precision=PRECISION, threads=1) as session:
                assert self.baseline is not None
                return budget.metric.drop(self.baseline, budget.metric(session))
        measure = drift if budget.kind == DRIFT else sqnr
        losses = []
        for variant in self.variants:
            with load(self._folder, provider="cpu", precision=PRECISION, threads=1, mode=variant.mode) as session:
                cases = self._cases(session, streaming=variant.mode == STREAMING)
                losses.append(measure(signature, cases))
        return max(losses, key=budget.badness)

    def _cases(self, session: Session, *, streaming: bool) -> list[tuple[Mapping[str, NDArray[Any]], Any, Any]]:
        """Inputs, fp32 answers and this session's answers; a stream sees the whole rows, cut into chunks."""
        signature = self._task.bundle.manifest.signature
        time = signature.time_axis
        cases = []
        for inputs, reference in zip(self._data.cases, self._references, strict=True):
            if not streaming:
                cases.append((inputs, reference, session.run(inputs)))
            elif time is not None and _is_whole(inputs, signature, time):
                steps = _steps(inputs, signature, time)
                answer = run_in_chunks(session, inputs, range(_CHUNK_STEPS, steps, _CHUNK_STEPS), time)
                cases.append((inputs, reference, answer))
        return cases


def read_graph(bundle: Bundle, variant: Variant) -> ir.Model:
    """The graph of a variant; its weights are read when they are needed."""
    return ir.load(bundle.path / variant.file)


def build(
    bundle: Bundle,
    folder: Path,
    variants: Sequence[Variant],
    names: Collection[str],
    tolerance: Tolerance = WIDEST,
) -> list[Variant]:
    """Write the int8 variants with these nodes quantized, as a bundle with its golden vectors, into a folder.

    Args:
        bundle: the fp32 bundle.
        folder: where to write; files of the same names are replaced.
        variants: the fp32 variants, offline and streaming.
        names: nodes of the offline graph; the streaming one has them under the same names.
        tolerance: what the variants are held to.

    Raises:
        LoweringError: the ONNX checker rejects what was made.
    """
    made = []
    for variant in variants:
        graph = read_graph(bundle, variant)
        there = {one.name for one in candidates(graph) if not one.refusal}
        quantized = Int8Pass(there.intersection(names))(graph).model
        made.append(_save(quantized, folder, variant, tolerance))
    for name in (GOLDEN, STATES):
        if name in bundle.manifest.files:
            (folder / name).write_bytes(bundle.read(name))
    manifest = bundle.manifest
    write_manifest(
        folder,
        Manifest(name=manifest.name, signature=manifest.signature, variants=tuple(made), source=manifest.source),
    )
    return made


def declared(shares: Iterable[float]) -> Tolerance:
    """The tolerance of a variant that was off by these shares of its outputs' magnitudes."""
    wanted = min(max(_TIGHTEST, _MARGIN * max(shares, default=0.0)), WIDEST.atol)
    return replace(WIDEST, atol=float(f"{wanted:.2g}"))


def _save(graph: ir.Model, folder: Path, of: Variant, tolerance: Tolerance) -> Variant:
    file = f"{PRECISION}-{of.mode}.onnx"
    data_files: tuple[str, ...] = ()
    if weight_bytes(graph) > LIMIT_BYTES // 2:
        data_files = (f"{file}.data",)
        ir.save(graph, folder / file, external_data=data_files[0])
    else:
        proto = ir.to_proto(graph)
        try:
            onnx.checker.check_model(proto, full_check=True)
        except Exception as error:
            raise LoweringError(f"the ONNX checker rejects the int8 graph: {error}") from error
        (folder / file).write_bytes(proto.SerializeToString(deterministic=True))
    return replace(
        of,
        precision=PRECISION,
        file=file,
        tolerance=tolerance,
        operators=Counter(node.op_type for node in graph.graph.all_nodes()),
        data_files=data_files,
    )


def _is_whole(inputs: Mapping[str, NDArray[Any]], signature: Signature, time: str) -> bool:
    """Whether a stream can be held against this batch: every row to the end, and no state but the initial one."""
    steps = _steps(inputs, signature, time)
    full = all((inputs[one.name] == steps).all() for one in signature.lengths if one.name in inputs)
    return full and not any(one.name in inputs for one in signature.states)


def _steps(inputs: Mapping[str, NDArray[Any]], signature: Signature, time: str) -> int:
    timed = next(spec for spec in signature.inputs if time in spec.axes)
    return int(inputs[timed.name].shape[timed.axes.index(time)])


def _read_log(
    path: Path | None, fingerprint: Mapping[str, Any]
) -> dict[tuple[tuple[str, ...], bool], tuple[float, str]]:
    """What an earlier search about the same thing has measured."""
    if path is None or not path.is_file():
        return {}
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
        if log["task"] != dict(fingerprint):
            return {}
        return {
            (tuple(one["nodes"]), bool(one["checked"])): (float(one["loss"]), str(one["missed"]))
            for one in log["trials"]
        }
    except (ValueError, KeyError, TypeError):
        return {}  # cut off while it was written by something else: everything is measured again


def _write_log(
    path: Path | None, fingerprint: Mapping[str, Any], known: Mapping[tuple[tuple[str, ...], bool], tuple[float, str]]
) -> None:
    if path is None:
        return
    trials = [
        {"nodes": list(nodes), "checked": checked, "loss": repr(loss), "missed": missed}
        for (nodes, checked), (loss, missed) in known.items()
    ]
    text = json.dumps({"task": dict(fingerprint), "trials": trials}, indent=1) + "\n"
    write_atomically(path, text.encode())
