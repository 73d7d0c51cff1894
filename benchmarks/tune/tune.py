"""The whole of ``rnnx tune``, in the order in which it is done: check, refuse what loses too much, search, keep."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...bundle import Bundle, unwritable
from ...errors import SessionError
from ...runtime.machine import cores, cpu
from ...runtime.ort import import_ort
from ...runtime.tuning import gpu_of
from ...tuned import Measured, Tuned
from ..bench.inputs import axis_sizes, make_inputs, misfit
from ..bench.intervals import latency
from ..bench.machine import describe
from ..bench.request import Origin, Request, batches_of, check_request, times_of
from .forms import keep_form, with_forms
from .losses import Loss, data_case, losses
from .objectives import check_objective, value_of
from .report import TuneReport, TuneRow
from .search import Search
from .sessions import SessionBench
from .setups import Setup, first_setups, neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from ...manifest import Variant
    from .report import TuneRequest
    from .search import Bench, Outcome, Trial

#: How far two equal sessions may be apart where the default is kept because nothing beat it.
MOST_NOISE = 0.1


def tune(
    request: TuneRequest,
    tell: Callable[[str], None] = lambda _: None,
    *,
    make_bench: Callable[..., Bench] = SessionBench,
) -> TuneReport:
    """Find the best way to run a bundle on this machine, and keep it in the bundle's manifest.

    Args:
        request: what to tune, and for what.
        tell: is called with a line for each stage.
        make_bench: what measures, called as :class:`.sessions.SessionBench` is.

    Raises:
        InputError: the objective, a size, a number of threads or the data is wrong.
        ProviderError, VariantError: the provider or a variant is not there.
        BudgetError: a loss cannot be measured.
        SessionError: the default itself does not run, or answers wrongly.
        BundleError: the bundle cannot be read or written to, or changed meanwhile.
        ParityError: a form that was asked for does not give the exported graph's answers.
    """
    began = time.monotonic()
    bundle, _, steps = _checked(request)
    forms: AbstractContextManager[str] = nullcontext(request.bundle)
    if request.forms:
        forms = with_forms(request.bundle, request.mode, tell, precisions=request.precisions, steps=steps)
    with forms as path:
        report = _tuned(replace(request, bundle=path), bundle, tell, make_bench)
    return replace(report, seconds=round(time.monotonic() - began, 1))


def _tuned(
    request: TuneRequest, kept_in: Bundle, tell: Callable[[str], None], make_bench: Callable[..., Bench]
) -> TuneReport:
    """The search in ``request.bundle``, which may be a copy with more forms; the result is kept in ``kept_in``."""
    bundle, batch, steps = _checked(request)
    signature, mode = bundle.manifest.signature, request.mode
    default = bundle.variant(mode=mode)
    sizes = axis_sizes(signature, batch=batch, time=steps, others=request.sizes)
    variants = list(_variants(request, bundle, sizes, tell))
    tell("what the variants lose")
    lost = _losses(request, bundle, variants, batch=batch, steps=steps)
    setups = first_setups([one for one in variants if lost[one.key].allowed], request.threads or _powers(cores()))
    bench = make_bench(
        bundle,
        provider=request.provider,
        mode=mode,
        inputs=make_inputs(signature, sizes, seed=request.seed, data=request.data),
        objective=request.objective,
        seed=request.seed,
    )
    plain = Setup(precision=default.precision)
    why = bench.obstacle(plain)
    if why:
        raise SessionError(f"the default of bundle '{bundle.path}' does not run here: {why}. Run: rnnx verify")
    search = Search(
        default=plain,
        bench=bench,
        objective=request.objective,
        batch=batch,
        seconds=request.seconds,
        seed=request.seed,
        neighbours=lambda one: neighbours(
            one, provider=request.provider, operators=bundle.variant(one.precision, mode, one.form).operators
        ),
        tell=tell,
    )
    outcome = search.run(setups)
    # Nothing was told by such a measurement: an entry of a quiet day must not be replaced by it.
    disturbed = outcome.winner == plain and outcome.noise > MOST_NOISE
    kept = not (request.dry_run or disturbed)
    if kept and not _has(kept_in, outcome.winner, mode):
        keep_form(str(kept_in.path), bundle.variant(outcome.winner.precision, mode, outcome.winner.form), tell)
        kept_in = Bundle.open(kept_in.path)
    entry = _entry(request, kept_in if kept else bundle, outcome, batch=batch, steps=steps)
    if kept:
        kept_in = kept_in.keep_tuned(entry)
    texts = {key: one.text for key, one in lost.items()}
    rows = [
        _row(one, bundle.variant(one.setup.precision, mode, one.setup.form), texts, batch) for one in outcome.trials
    ]
    rows += [_refused(one, lost[one.key], request) for one in variants if not lost[one.key].allowed]
    return TuneReport(
        bundle={"path": str(kept_in.path), "name": kept_in.manifest.name, "sha256": kept_in.sha256},
        entry=entry,
        kept=kept,
        is_default=outcome.winner == plain,
        rows=tuple(rows),
        noise=outcome.noise,
        disturbed=disturbed,
        machine=describe(),
    )


def _variants(
    request: TuneRequest, bundle: Bundle, sizes: Mapping[str, int], tell: Callable[[str], None]
) -> Iterator[Variant]:
    """Those to try: of the mode and the precisions, that take these sizes."""
    for one in bundle.manifest.variants:
        if one.mode == request.mode and one.precision in (request.precisions or (one.precision,)):
            why = misfit(bundle, one, sizes)
            if why:
                tell(f"'{one.key}' is left out: {why}")
            else:
                yield one


def _has(bundle: Bundle, setup: Setup, mode: str) -> bool:
    wanted = (setup.precision, mode, setup.form)
    return any((one.precision, one.mode, one.form) == wanted for one in bundle.manifest.variants)


def _checked(request: TuneRequest) -> tuple[Bundle, int, int]:
    """The bundle, the batch and the number of steps, after everything was found to be possible."""
    check_objective(request.objective)
    asked = Request(
        origin=Origin(bundle=request.bundle),
        providers=(request.provider,),
        precisions=request.precisions,
        modes=(request.mode,),
        batches=() if request.batch is None else (request.batch,),
        times=() if request.time is None else (request.time,),
        threads=request.threads,
        data=request.data,
        sizes=request.sizes,
        seconds=request.seconds,
        resources=False,
        roofline=False,
    )
    bundle = check_request(asked)
    if not request.dry_run and not os.access(bundle.path, os.W_OK):
        raise unwritable(bundle.path, "no permission")
    signature = bundle.manifest.signature
    return bundle, batches_of(asked, signature)[0], times_of(asked, signature)[0]


def _losses(
    request: TuneRequest, bundle: Bundle, variants: Sequence[Variant], *, batch: int, steps: int
) -> dict[str, Loss]:
    cases = bundle.golden()
    if request.data is not None:
        cases = [data_case(bundle.manifest.signature, request.data, batch=batch, time=steps, sizes=request.sizes)]
    return losses(bundle, variants, request.max_loss, provider=request.provider, cases=cases)


def _powers(count: int) -> list[int]:
    """1, 2, 4 and so on, and the count itself."""
    return sorted({count, *(2**power for power in range(count.bit_length()))})


def _entry(request: TuneRequest, bundle: Bundle, outcome: Outcome, *, batch: int, steps: int) -> Tuned:
    winner, plain = outcome.trial(outcome.winner), outcome.trials[0]
    assert winner.ratio is not None
    setup = winner.setup
    return Tuned(
        cpu=cpu(),
        cores=cores(),
        gpu=gpu_of(request.provider),
        provider=request.provider,
        mode=request.mode,
        batch=batch,
        time=steps,
        sizes=request.sizes,
        objective=request.objective,
        precision=setup.precision,
        form=setup.form,
        threads=setup.threads,
        session_options=dict(setup.session_options),
        provider_options=dict(setup.provider_options),
        graph_sha256=bundle.graph_sha256(bundle.variant(setup.precision, request.mode, setup.form)),
        onnxruntime=import_ort().__version__,
        measured=Measured(
            tuned=value_of(request.objective, winner.rounds, batch=batch),
            default=value_of(request.objective, plain.rounds, batch=batch),
            ratio=winner.ratio.value,
            low=winner.ratio.low,
            high=winner.ratio.high,
        ),
        max_loss="" if request.max_loss is None else request.max_loss.text,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _row(trial: Trial, variant: Variant, texts: Mapping[str, str], batch: int) -> TuneRow:
    found = latency(trial.rounds) if trial.rounds else None
    return TuneRow(
        setup=trial.setup,
        latency=found,
        throughput=None if found is None else value_of("throughput", trial.rounds, batch=batch),
        ratio=trial.ratio,
        loss=texts.get(variant.key, "not told"),
        verdict=trial.verdict,
    )


def _refused(variant: Variant, loss: Loss, request: TuneRequest) -> TuneRow:
    asked: Any = request.max_loss.text if request.max_loss is not None else ""
    return TuneRow(
        setup=Setup(precision=variant.precision, form=variant.form),
        latency=None,
        throughput=None,
        ratio=None,
        loss=loss.text,
        verdict=f"refused: it loses more than {asked}",
    )
