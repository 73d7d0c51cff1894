"""The whole benchmark, in the order in which it is done: check, ceilings, rows cell by cell, resources."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING

from ...errors import InputError, RnnxError
from ...runtime.providers import PROVIDERS
from .candidates import OWN, Candidate, Spec, open_candidate
from .ceilings import Ceilings, measure_ceilings
from .inputs import axis_sizes
from .machine import describe
from .measuring import measure_cell, unfit
from .report import Cell, Report, Row, Skipped, Taken
from .request import batches_of, check_request, precisions, times_of
from .resources import measure_resources
from .schedule import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...bundle import Bundle
    from .request import Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What will be measured.

    Attributes:
        request: what was asked for.
        bundle: the bundle.
        groups: candidates that are measured side by side, by mode and threads, and in which cells.
    """

    request: Request
    bundle: Bundle
    groups: tuple[tuple[tuple[Spec, ...], tuple[Cell, ...]], ...]

    @property
    def steps(self) -> int:
        """How many stages will be told of."""
        cells = sum(len(cells) for _, cells in self.groups)
        specs = sum(len(specs) for specs, _ in self.groups)
        request = self.request
        return cells + request.roofline * len(request.thread_counts) + request.resources * specs


def plan_bench(request: Request) -> Plan:
    """Find out what will be measured, before anything is.

    Raises:
        InputError: something in the request is wrong, or the reference is not among the candidates.
        ProviderError, VariantError, SourceError, BundleError: as :func:`.request.check_request`.
    """
    bundle = check_request(request)
    signature = bundle.manifest.signature
    pairs = list(product(dict.fromkeys(batches_of(request, signature)), dict.fromkeys(times_of(request, signature))))
    groups = []
    for threads, mode in product(dict.fromkeys(request.thread_counts), dict.fromkeys(request.modes)):
        specs = tuple(dict.fromkeys(_specs(request, bundle, mode, threads)))
        _check_reference(request, specs)
        cells = tuple(
            Cell(
                mode=mode,
                threads=threads,
                batch=batch,
                time=steps,
                sizes=axis_sizes(signature, batch=batch, time=steps, others=request.sizes),
            )
            for batch, steps in pairs
        )
        groups.append((specs, cells))
    return Plan(request=request, bundle=bundle, groups=tuple(groups))


def run_bench(plan: Plan, tell: Callable[[str], None] = lambda _: None, *, pace: Pace | None = None) -> Report:
    """Measure everything.

    Args:
        plan: from :func:`plan_bench`.
        tell: is called with the name of each stage as it begins.
        pace: how long and how often; by default :class:`Pace` with the request's seconds.

    Raises:
        ProviderError, SessionError: a variant of the bundle cannot be loaded.
    """
    began = time.monotonic()
    request, bundle = plan.request, plan.bundle
    created, machine = datetime.now(UTC).isoformat(timespec="seconds"), describe()
    ceilings = _ceilings(request, tell) if request.roofline else {}
    rows: list[Row] = []
    skipped: list[Skipped] = []
    for specs, cells in plan.groups:
        with ExitStack() as opened:
            candidates = list(_opened(specs, request, skipped))
            for one in candidates:
                opened.callback(one.close)
            for cell in cells:
                tell(str(cell))
                found, missing = measure_cell(
                    candidates,
                    cell,
                    request=request,
                    bundle=bundle,
                    ceilings=ceilings.get(cell.threads),
                    pace=pace or Pace(seconds=request.seconds),
                )
                rows += found
                skipped += missing
    resources: list[Taken] = []
    if request.resources:
        absent = {(one.candidate, one.where) for one in skipped}
        for specs, cells in plan.groups:
            for spec in specs:
                fitting = [cell for cell in cells if not unfit(spec, bundle, cell)]
                if not fitting or (spec.name, _where(spec)) in absent:
                    continue
                largest = max(fitting, key=lambda cell: cell.batch * cell.time)
                tell(f"memory of {spec.name}, {spec.mode}, {_threads(spec.threads)}")
                taken = measure_resources(spec, request.origin, largest.sizes, seed=request.seed)
                if isinstance(taken, str):
                    skipped.append(_skip(spec, f"memory and loading, {_where(spec)}", taken))
                else:
                    resources.append(Taken(spec=spec, sizes=largest.sizes, resources=taken))
    return Report(
        bundle={"path": str(bundle.path), "name": bundle.manifest.name, "sha256": bundle.sha256},
        created=created,
        request=request.to_json(),
        machine=machine,
        ceilings=tuple(ceilings.values()),
        rows=tuple(rows),
        resources=tuple(resources),
        skipped=tuple(skipped),
        seconds=round(time.monotonic() - began, 1),
    )


def _specs(request: Request, bundle: Bundle, mode: str, threads: int) -> Iterable[Spec]:
    wanted = precisions(request, bundle, mode)
    variants = [one for one in bundle.manifest.variants if one.mode == mode and one.precision in wanted]
    variants.sort(key=lambda one: wanted.index(one.precision))
    for provider, one in product(request.providers, variants):
        yield Spec(engine=OWN, precision=one.precision, form=one.form, provider=provider, mode=mode, threads=threads)
    for peer in request.peers:
        # Bare ONNX Runtime goes wherever the bundle goes with its own providers; the others have one way to run.
        own = [one for one in request.providers if one in PROVIDERS]
        for provider in own if peer == "onnxruntime" else ("cpu",):
            yield Spec(engine=peer, precision="fp32", provider=provider, mode=mode, threads=threads)


def _check_reference(request: Request, specs: Iterable[Spec]) -> None:
    names = [spec.name for spec in specs]
    if request.reference is not None and request.reference not in names:
        allowed = ", ".join(f"'{name}'" for name in names)
        raise InputError(f"--reference '{request.reference}' is not measured here. Allowed are {allowed}.")


def _ceilings(request: Request, tell: Callable[[str], None]) -> dict[int, Ceilings]:
    found: dict[int, Ceilings] = {}
    for threads in sorted(set(request.thread_counts)):
        tell(f"ceilings of the machine, {_threads(threads)}")
        measured = measure_ceilings(threads)
        found[threads] = measured.at_least(list(found.values())[-1]) if found else measured
    return found


def _opened(specs: Iterable[Spec], request: Request, skipped: list[Skipped]) -> Iterable[Candidate]:
    for spec in specs:
        try:
            yield open_candidate(spec, request.origin)
        except RnnxError:
            # Of the bundle, the provider or the source: the user's to mend, not a peer's weakness.
            raise
        except Exception as error:  # noqa: BLE001  (a peer may fail in any way)
            skipped.append(_skip(spec, _where(spec), _first_line(error)))


def _skip(spec: Spec, where: str, reason: str) -> Skipped:
    return Skipped(candidate=spec.name, where=where, reason=reason, failed=spec.engine == OWN)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _where(spec: Spec) -> str:
    return f"{spec.mode}, {_threads(spec.threads)}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
