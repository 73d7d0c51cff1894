"""One measurement after another: a set of nodes becomes a bundle, is run and held against fp32; all of it logged."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ...atomic import write_atomically
from ...runtime.session import STREAMING, load
from ...runtime.stream import run_in_chunks
from ...runtime.verify import verify
from .budgets import DRIFT, METRIC, Budget, drift, sqnr
from .building import build, read_graph
from .calibration import answers, stretched
from .choices import chosen_outputs
from .narrowing import Found
from .recipes import INT8, recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import onnx_ir as ir
    from numpy.typing import NDArray

    from ...bundle import Bundle
    from ...runtime.session import Session
    from ...signature import Signature
    from .calibration import Calibration

#: How streams are cut while their loss is measured.
_CHUNK_STEPS = 10
_LOG_VERSION = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a search is about.

    Attributes:
        bundle: with an fp32 offline variant.
        budget: what may be lost.
        data: what it is measured on.
        precision: the lower one, ``int8`` or ``fp16``.
        interface: whether inputs, outputs and states are of that precision too.
    """

    bundle: Bundle
    budget: Budget
    data: Calibration
    precision: str = INT8
    interface: bool = False

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for an earlier search's measurements to hold."""
        metric = self.budget.metric
        return {
            "version": _LOG_VERSION,
            "precision": self.precision,
            "bundle": self.bundle.sha256,
            "data": self.data.sha256,
            "budget": self.budget.kind,
            "metric": "" if metric is None else f"{metric.name} {metric.origin} {metric.lower_is_better}",
        }


class Trials:
    """Measures sets of nodes in a temporary folder; a context manager.

    Attributes:
        recipe: of the precision.
        variants: the fp32 variants, offline and streaming, whose graphs export made.
        candidates: the nodes that there are.
        scale: what the cost of a single node is told in: dB where the budget is a metric's, because single nodes
            seldom move a metric at all.
        measured: how many sets were measured here, beyond those that the log knew.
        baseline: the metric's value in fp32, or None.
        chosen: names of the outputs that hang on choices, where the budget is a metric's and whole numbers are among
            them; else none. They are not held to fp32's golden vectors: near a tie either choice is right, and whether
            too much is lost the metric says.
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
        self.variants = [one for one in bundle.manifest.variants if one.precision == "fp32" and not one.form]
        offline = bundle.variant("fp32")
        bundle.check()
        told = any(one.dtype.startswith("float") for one in bundle.manifest.signature.outputs)
        self.scale = Budget() if budget.kind == METRIC and told else budget
        self._data = stretched(bundle.manifest.signature, task.data) if budget.kind == DRIFT else task.data
        with load(bundle.path, provider="cpu", precision="fp32", threads=1) as session:
            self.baseline = None if budget.metric is None else budget.metric(session)
            self._references = answers(session, self._data)
        graph = read_graph(bundle, offline)
        # The golden vectors too: every variant is held against them.
        measured = [*self._data.cases, *(case.inputs for case in bundle.golden())]
        self.recipe = recipe(task.precision, graph, bundle.manifest.signature, measured, interface=task.interface)
        self.candidates = self.recipe.candidates(graph)
        self.chosen = self._choices(graph)
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        """These trials."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the temporary folder."""
        self._stack.close()

    def reached(self, loss: float) -> float | None:
        """The metric's value where so much of it is lost, or None."""
        metric = self._task.budget.metric
        if metric is None or self.baseline is None:
            return None
        return self.baseline + loss if metric.lower_is_better else self.baseline - loss

    def cost(self, name: str) -> float:
        """The loss with this node alone in the lower precision, on :attr:`scale`."""
        return self._measure((name,), check=False).loss

    @property
    def costs(self) -> dict[str, float]:
        """What the nodes that were measured alone cost, by name."""
        return {names[0]: loss for (names, checked), (loss, _) in self._known.items() if not checked}

    def ordered(self, names: Collection[str]) -> list[str]:
        """These nodes, those that cost least alone first."""
        return sorted(names, key=lambda name: self.scale.badness(self.cost(name)))

    def measure(self, names: Collection[str]) -> Found:
        """The loss with these nodes in the lower precision; whether the budget and the golden vectors allow it."""
        return self._measure(names, check=True)

    def _measure(self, names: Collection[str], *, check: bool) -> Found:
        key = (tuple(sorted(names)), check)
        if key not in self._known:
            if self._progress is not None:
                which = f"'{next(iter(names))}' alone" if not check else f"{len(names)} of {len(self.candidates)} nodes"
                self._progress(f"{self.recipe.precision}: {which}")
            self.measured += 1
            build(self._task.bundle, self._folder, self.variants, names, self.recipe, proof=True)
            loss = self._loss(self._task.budget if check else self.scale)
            missed = ""
            if check and self._task.budget.allows(loss):
                report = verify(self._folder, provider="cpu", precision=self.recipe.precision)
                missing = (row for row in report.rows if not row.passed and row.output not in self.chosen)
                worst = max(missing, key=lambda row: row.max_abs_diff, default=None)
                if worst is not None:
                    missed = f"the golden vectors of {worst.variant} then differ in '{worst.output}'"
            self._known[key] = (loss, missed)
            _write_log(self._log, self._task.fingerprint, self._known)
        loss, missed = self._known[key]
        if not self._task.budget.allows(loss):
            missed = f"with it the model comes to {self._task.budget.told(loss)}"
        return Found(loss=loss, fits=not missed, why=missed)

    def _choices(self, graph: ir.Model) -> frozenset[str]:
        if self._task.budget.kind != METRIC:
            return frozenset()
        chosen = chosen_outputs(graph, [one.name for one in self.candidates if not one.refusal])
        outputs = self._task.bundle.manifest.signature.outputs
        whole = any(one.name in chosen and not one.dtype.startswith("float") for one in outputs)
        return chosen if whole else frozenset()

    def _loss(self, budget: Budget) -> float:
        signature = self._task.bundle.manifest.signature
        if budget.metric is not None:
            with load(self._folder, provider="cpu", precision=self.recipe.precision, threads=1) as session:
                assert self.baseline is not None
                return budget.metric.drop(self.baseline, budget.metric(session))
        measure = drift if budget.kind == DRIFT else sqnr
        losses = []
        for variant in self.variants:
            with load(
                self._folder, provider="cpu", precision=self.recipe.precision, threads=1, mode=variant.mode
            ) as session:
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
