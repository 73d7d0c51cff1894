"""A bundle loaded for serving: variants behind engines, streams in a table, proven before anybody may use it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...bundle import Bundle
from ...errors import InputError, ModelUnavailableError, RequestTooLargeError, ShapeError, VariantError
from ..choice import AUTO
from ..engine.engine import Engine
from ..engine.table import StreamTable
from ..openvino_session import is_openvino
from ..ort import LOG_FATAL, import_ort
from ..session import STREAMING, load
from ..verify import golden_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Mapping

    from numpy.typing import NDArray

    from ...signature import Signature
    from ..ort import OrtOptions
    from ..session import Session
    from ..state import State

#: What is put behind a model's name for the streaming variant whose states the client carries.
SUFFIX = ".streaming"
VERSION = "1"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """How a bundle is served.

    Attributes:
        provider: as for :func:`rnnx.load`.
        precision: as for :func:`rnnx.load`; a mode that has no such variant is not served.
        tuned: take precision, threads and options from what ``rnnx tune`` found, see :func:`rnnx.load`.
        ranges: for ``tensorrt``, the sizes of each axis, see :func:`rnnx.load`; requests of other sizes are refused.
        engine_cache: for ``tensorrt``, the folder of its engines.
        strict: refuse a bundle of which a node does not run on the provider, see :func:`rnnx.load`.
        threads: threads within one operator; None for one for each core. One by default: requests come side by side,
            and the event loop needs a core too.
        max_batch: most rows of one run.
        max_queue: most requests that wait; more are refused.
        max_delay_ms: how long a request may wait for company, milliseconds.
        padding: most frames that are run for one that was asked for.
        max_frames: most frames of one request, all rows together: what a model makes of a frame on its way can be
            thousands of times as large as the frame.
        max_streams: most streams at a time.
        stream_idle_s: after how many seconds without a chunk a stream ends.
    """

    provider: str = AUTO
    precision: str = "auto"
    tuned: bool | str = False
    ranges: Mapping[str, tuple[int, int, int]] | None = None
    engine_cache: str | None = None
    strict: bool = False
    threads: int | None = 1
    max_batch: int = 64
    max_queue: int = 256
    max_delay_ms: float = 0.0
    padding: float = 2.0
    max_frames: int = 1 << 18
    max_streams: int = 10_000
    stream_idle_s: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """One variant that answers.

    Attributes:
        session: it, loaded.
        engine: batches requests into runs of the session.
    """

    session: Session
    engine: Engine

    def check_frames(self, inputs: Mapping[str, NDArray[Any]], most: int) -> None:
        """Refuse what would take too much memory, before anything is made of it.

        Args:
            inputs: by name, not checked yet.
            most: how many frames are allowed: the product of an input's dynamic axes.

        Raises:
            RequestTooLargeError: there are more.
        """
        for spec in self.session.signature.inputs:
            value = inputs.get(spec.name)
            if value is None or value.size <= most or value.ndim != len(spec.axes):
                continue
            frames = math.prod(size for size, axis in zip(value.shape, spec.axes, strict=True) if isinstance(axis, str))
            if frames > most:
                raise RequestTooLargeError(
                    f"input '{spec.name}' has {frames} frames, {list(value.shape)}; up to {most} are taken at once. "
                    "Send fewer rows or shorter sequences, or send them as chunks of a stream."
                )

    def close(self) -> None:
        """End the engine's threads, then free the session."""
        self.engine.close()
        self.session.close()


class ServedModel:
    """One bundle as it was when it was loaded. The event loop's thread uses it; loading and closing take their own."""

    def __init__(
        self,
        *,
        name: str,
        bundle: Bundle,
        options: ModelOptions,
        offline: Running | None = None,
        streaming: Running | None = None,
    ) -> None:
        """Take over variants that run. Use :meth:`load` to get one."""
        self.name = name
        self.bundle = bundle
        self.options = options
        self.offline = offline
        self.streaming = streaming
        self.table: StreamTable[Hashable] | None = None
        #: Inputs of the streaming variant that the server gives: states, which a client must not seem to set.
        self.kept = frozenset[str]() if streaming is None else streaming.session.signature.state_names
        if streaming is not None:
            self.table = StreamTable(max_streams=options.max_streams, idle_s=options.stream_idle_s)
        #: How many requests use it now; it is closed when there are none.
        self.users = 0

    @classmethod
    def load(cls, name: str, path: str | os.PathLike[str], options: ModelOptions) -> ServedModel:
        """Load every mode that the bundle has, and prove the very sessions that will answer.

        All files are hashed and all golden vectors run, which also warms the sessions up.

        Raises:
            BundleError: the bundle cannot be read, was altered, or holds no golden vectors.
            VariantError: it has no variant of this precision.
            TuningError: tuned variants are asked for, and there are none for this machine.
            ModelUnavailableError: it does not give its source's answers here, or changed while it was read.
            ProviderError, MissingExtraError, SessionError, InputError: as for :func:`rnnx.load`.
        """
        bundle = Bundle.open(path)
        bundle.check()
        modes = [mode for mode in ("offline", STREAMING) if _has(bundle, options, mode)]
        if not modes:
            there = ", ".join(f"'{one.key}'" for one in bundle.manifest.variants)
            raise VariantError(f"bundle '{path}' has no variant of precision '{options.precision}'; it has {there}.")
        running: dict[str, Running] = {}
        try:
            for mode in modes:
                session = _open(bundle, options, mode)
                running[mode] = Running(session=session, engine=_engine(session, options))
                _prove(bundle, session)
        except BaseException:
            for one in running.values():
                one.close()
            raise
        return cls(
            name=name,
            bundle=bundle,
            options=options,
            offline=running.get("offline"),
            streaming=running.get(STREAMING),
        )

    @property
    def notes(self) -> list[str]:
        """What is not batched, by variant and with its reason; empty where everything is."""
        running = [one for one in (self.offline, self.streaming) if one is not None]
        return [f"{one.session.variant.key}: {note}" for one in running for note in one.engine.notes]

    @property
    def carried(self) -> bool:
        """Whether clients may carry the states: no frames wait in them, which would be no tensors of the model."""
        return self.streaming is not None and self.streaming.session.variant.chunks is None

    def table_of_streams(self) -> tuple[Running, StreamTable[Hashable]]:
        """The streaming variant and the streams that it holds.

        Raises:
            InputError: the model has no streaming variant.
        """
        if self.streaming is None or self.table is None:
            raise InputError(
                f"model '{self.name}' has no streaming variant, so it takes no sequences and no streams. "
                "Send whole sequences without sequence_id."
            )
        return self.streaming, self.table

    def initial_state(self, inputs: Mapping[str, NDArray[Any]]) -> State:
        """Where streams begin whose first chunk this is: as many as its rows.

        Raises:
            ShapeError: the chunk is of more rows than a run may have.
        """
        running, _ = self.table_of_streams()
        rows = _rows(running.session, inputs)
        if rows > self.options.max_batch:
            raise ShapeError(
                f"the first chunk is of {rows} streams; model '{self.name}' runs up to {self.options.max_batch} "
                "together. Begin several streams."
            )
        return running.session.initial_state(rows)

    def carried_state(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], State]:
        """The chunk and the state among a client's inputs; states that are left out are initial ones.

        Raises:
            InputError: a state is of another dtype, rank or number of streams.
        """
        running, _ = self.table_of_streams()
        signature = running.session.signature
        chunk = {name: value for name, value in inputs.items() if name not in signature.state_names}
        initial = self.initial_state(chunk)
        values = {}
        for name, first in initial.values.items():
            given = inputs.get(name)
            if given is None:
                values[name] = first
                continue
            spec = signature.input(name)
            if given.dtype != first.dtype or given.shape != first.shape:
                raise ShapeError(
                    f"state '{name}' is {given.dtype}{list(given.shape)}; for this chunk it must be "
                    f"{first.dtype}{list(first.shape)}: {spec}. Send what the last answer gave, or leave it out."
                )
            values[name] = given
        return chunk, replace(initial, values=values)

    def close(self) -> None:
        """Wait for runs that are under way, and free everything; blocks, so call it in a thread."""
        for one in (self.offline, self.streaming):
            if one is not None:
                one.close()


def _has(bundle: Bundle, options: ModelOptions, mode: str) -> bool:
    return any(
        one.mode == mode and (options.precision in {"auto", one.precision}) and not one.form
        for one in bundle.manifest.variants
    )


def _open(bundle: Bundle, options: ModelOptions, mode: str) -> Session:
    wish: dict[str, Any] = {"provider": options.provider, "mode": mode, "strict": options.strict}
    wish |= {"ranges": _ranges_of(bundle, options, mode), "engine_cache": options.engine_cache}
    if options.tuned:
        return load(bundle.path, tuned=options.tuned, **wish)
    if is_openvino(options.provider):
        return load(bundle.path, precision=options.precision, threads=options.threads, **wish)
    return load(bundle.path, precision=options.precision, session_options=_session_options(options.threads), **wish)


def _ranges_of(bundle: Bundle, options: ModelOptions, mode: str) -> dict[str, tuple[int, int, int]] | None:
    """The ranges of axes that a mode has: one that only the other has is for that."""
    if options.ranges is None:
        return None
    axes = {
        one: bundle.variant(options.precision, one).signature
        for one in ("offline", STREAMING)
        if _has(bundle, options, one)
    }
    faces = {one: (face or bundle.manifest.signature).dynamic_axes for one, face in axes.items()}
    others = {axis for one, names in faces.items() if one != mode for axis in names} - set(faces[mode])
    return {axis: sizes for axis, sizes in options.ranges.items() if axis not in others}


def _session_options(threads: int | None) -> OrtOptions:
    if threads is not None and (type(threads) is not int or threads < 1):
        raise InputError(f"threads is {threads!r}; it must be a whole number from 1, or None for one for each core.")
    given = import_ort().SessionOptions()
    given.log_severity_level = LOG_FATAL
    given.inter_op_num_threads = 1
    given.intra_op_num_threads = 0 if threads is None else threads
    # Idle threads that spin would take the event loop's core.
    given.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return given


def _engine(session: Session, options: ModelOptions) -> Engine:
    try:
        return Engine(
            session,
            max_batch=options.max_batch,
            max_queue=options.max_queue,
            max_delay_ms=options.max_delay_ms,
            padding=options.padding,
        )
    except BaseException:
        session.close()
        raise


def _prove(bundle: Bundle, session: Session) -> None:
    if session.bundle.sha256 != bundle.sha256:
        raise ModelUnavailableError(f"bundle '{bundle.path}' was changed while it was loaded. Load it again.")
    cases = bundle.golden(session.variant)
    if not cases:
        raise ModelUnavailableError(
            f"bundle '{bundle.path}' holds no golden vectors, so nothing proves it. Export it again."
        )
    row = next((one for one in golden_rows(session, cases) if not one.passed), None)
    if row is None:
        return
    whose = "the proven" if session.variant.golden else "its source's"
    found = row.reason or f"it differs by {row.max_abs_diff:.3g}, allowed is {row.allowed:.3g}"
    raise ModelUnavailableError(
        f"variant '{session.variant.key}' of '{bundle.path}' does not give {whose} answers on {session.provider}: "
        f"output '{row.output}' of golden case {row.case}: {found}. See: rnnx verify '{bundle.path}'."
    )


def _rows(session: Session, inputs: Mapping[str, NDArray[Any]]) -> int:
    """How many streams a chunk is of; 1 where that cannot be told, for the engine to say what is wrong with it."""
    signature: Signature = session.signature
    batch = next((signature.input(one.name).axes[0] for one in signature.states), 1)
    if isinstance(batch, int):
        return batch
    for name in session.stream_inputs:
        value, axes = inputs.get(name), signature.input(name).axes
        if batch in axes and isinstance(value, np.ndarray) and value.ndim == len(axes):
            return max(1, int(value.shape[axes.index(batch)]))
    return 1
