"""What the search measures with: real sessions of one bundle, side by side on the same inputs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ...errors import RnnxError
from ...manifest import GOLDEN
from ...runtime.machine import cores
from ...runtime.options import own_options
from ...runtime.ort import import_ort
from ...runtime.session import load
from ...runtime.sizes import covering
from ...runtime.tensorrt import TENSORRT
from ...runtime.verify import golden_rows
from ..bench.candidates import prepare_session
from ..bench.schedule import let_threads_sleep, measure
from .objectives import pace_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ...bundle import Bundle, GoldenCase
    from ...runtime.session import Session
    from ..bench.intervals import Rounds
    from .setups import Setup


class SessionBench:
    """Sessions of a bundle on one provider in one mode."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: str,
        mode: str,
        inputs: Mapping[str, NDArray[Any]],
        objective: str,
        seed: int,
    ) -> None:
        """Remember what to measure.

        Args:
            bundle: the bundle.
            provider: execution provider.
            mode: ``offline`` or ``streaming``.
            inputs: every input by name but states, of the sizes that are tuned for.
            objective: out of :data:`rnnx.tuned.OBJECTIVES`.
            seed: of the order in each round.

        Raises:
            BundleError: the bundle has no golden vectors.
        """
        self._bundle, self._provider, self._mode = bundle, provider, mode
        self._inputs, self._objective, self._seed = inputs, objective, seed
        self._cases: Sequence[GoldenCase] = bundle.golden()

    def obstacle(self, setup: Setup) -> str:
        """Why this setup cannot be used: it does not load, or its answers are not the golden vectors'; else empty."""
        try:
            with self._open(setup) as session:
                prepare_session(session, self._inputs).outputs()
                rows = golden_rows(session, self._bundle.golden(session.variant))
        except RnnxError as error:
            return f"refused: {str(error).splitlines()[0]}"
        if not rows:
            # Else every setup would pass, for want of anything to be held against.
            return f"refused: '{GOLDEN}' holds no golden vectors"
        missed = next((row for row in rows if not row.passed), None)
        if missed is None:
            return ""
        why = missed.reason or f"off by {missed.max_abs_diff:.1e} of {missed.allowed:.1e} allowed"
        return f"refused: '{missed.output}' of golden case {missed.case} is {why}"

    def measure(self, setups: Sequence[Setup], seconds: float) -> Mapping[Setup, Rounds]:
        """Durations in nanoseconds, by round, of setups that take turns; ``seconds`` for each."""
        pace = pace_of(self._objective, seconds)
        with ExitStack() as opened:
            calls = {}
            named = {}
            for one in setups:
                named[one.name] = one
                calls[one.name] = prepare_session(opened.enter_context(self._open(one)), self._inputs).call
            if cores() == 1 or all(one.threads == 1 for one in setups):
                timings = measure(calls, pace, seed=self._seed)
            else:
                timings = measure(calls, pace.with_rests(), seed=self._seed, rest=let_threads_sleep)
        return {named[name]: timing.rounds for name, timing in timings.items()}

    def _open(self, setup: Setup) -> Session:
        """A session of this setup; the default is what ``rnnx.load`` gives for a provider and a mode alone."""
        # TensorRT is told the sizes that are tuned for, and those of the golden vectors.
        runs = (self._inputs, *(case.inputs for case in self._cases))
        face = self._bundle.variant(mode=self._mode).signature or self._bundle.manifest.signature
        ranges = covering(face, runs) if self._provider == TENSORRT else None
        if setup.is_default:
            return load(self._bundle.path, provider=self._provider, mode=self._mode, ranges=ranges)
        return load(
            self._bundle.path,
            provider=self._provider,
            precision=setup.precision,
            form=setup.form,
            mode=self._mode,
            session_options=own_options(import_ort(), setup.threads, dict(setup.session_options)),
            provider_options=dict(setup.provider_options) or None,
            ranges=ranges,
        )
