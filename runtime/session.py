"""One variant of a bundle, loaded on one provider, answering whole batches.

From :meth:`Session.run` to ``InferenceSession.run`` there is nothing in between: the inputs are checked first, the
foreign errors are translated after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import InputError, ManifestError, SessionError, VariantError
from ..manifest import Chunks
from ..signature import TIME
from .binding import binding_plan
from .bound import Binder
from .direct import direct_run
from .empty import empty_answer
from .forms import advice, state_owner
from .inputs import Feeder
from .loading import load as load  # noqa: PLC0414  (where most look for it)
from .opening import example_inputs
from .openvino_session import is_openvino
from .ort import import_ort
from .pending import Waiting
from .sizes import narrowed
from .state import State
from .stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..bundle import Bundle
    from ..manifest import Variant
    from ..signature import Signature
    from .bound import BoundState
    from .choice import ProviderChoice
    from .direct import Run
    from .opening import Opening
    from .ort import OrtSession
    from .placement import Placement
    from .sizes import Sizes
    from .tuning import TunedUse

STREAMING = "streaming"


class Session:
    """A variant on a provider. Safe to use from several threads; a context manager."""

    def __init__(
        self,
        session: OrtSession,
        *,
        bundle: Bundle,
        variant: Variant,
        choice: ProviderChoice,
        tuned: TunedUse | None = None,
        opening: Opening | None = None,
        sizes: Mapping[str, Sizes] | None = None,
        run: Run | None = None,
    ) -> None:
        """Take over a session of ONNX Runtime. Use :func:`load` to get one.

        Args:
            session: it.
            bundle: the bundle.
            variant: the variant.
            choice: the provider, and why no other.
            tuned: the tuned entry that it runs by, or None.
            opening: what it was made from, for a second session that is profiled.
            sizes: by axis the only sizes that it is made for; nothing where it takes all that the model does.
            run: how it is run where that is not ONNX Runtime's own way.

        Raises:
            ManifestError: the variant's inputs or outputs are not the manifest's.
        """
        self.bundle = bundle
        self.variant = variant
        self.provider_report = choice
        #: The tuned entry that it runs by, or None.
        self.tuned = tuned
        self._opening = opening
        #: Inputs, outputs, lengths and states of the variant, and the sizes that this session takes.
        self.signature: Signature = narrowed(variant.signature or bundle.manifest.signature, sizes or {})
        told = {axis: f"The session was loaded for '{one}' alone: load another." for axis, one in (sizes or {}).items()}
        self._feeder = Feeder(self.signature, advice=advice(bundle, variant) | told)
        self._outputs = [spec.name for spec in self.signature.outputs]
        self._session: OrtSession | None = session
        self._direct: Run | None = run or direct_run(session)
        self._owner = state_owner(bundle, variant)
        self._following = [(one.name, one.output) for one in self.signature.states if one.output is not None]
        states = self.signature.state_names
        #: Names of the inputs that a stream is pushed.
        self.stream_inputs = [spec.name for spec in self.signature.inputs if spec.name not in states]
        self._learned = bundle.initial_states() if variant.mode == STREAMING else {}
        #: What lets frames wait where the graph does not take any number of them; else None.
        self._waiting = None if variant.chunks is None else Waiting(self.signature, variant.chunks)
        self._binder: Binder | None = None
        if variant.mode == STREAMING and variant.chunks is None:
            plan = binding_plan(self.signature, choice.name, session.get_provider_options())
            if plan is not None:
                self._binder = Binder(import_ort(), plan, self._feeder)
        for what, declared, found in (
            ("inputs", [spec.name for spec in self.signature.inputs], [one.name for one in session.get_inputs()]),
            ("outputs", self._outputs, [one.name for one in session.get_outputs()]),
        ):
            if set(declared) != set(found):
                raise ManifestError(
                    f"variant '{variant.key}' of '{bundle.path}' has the {what} {found}, the manifest declares "
                    f"{declared}. Export the bundle again."
                )

    @property
    def provider(self) -> str:
        """Name of the provider in use, such as ``cpu``."""
        return self.provider_report.name

    def run(
        self,
        inputs: Mapping[str, Any],
        lengths: ArrayLike | Mapping[str, ArrayLike] | None = None,
        *,
        outputs: Sequence[str] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Run one batch.

        Args:
            inputs: by name, an array of the declared dtype and shape such as float32 ``(batch, time, features)``; or,
                for a ragged batch, a list of arrays without their batch axis, ``(time, features)`` each, which are
                padded. Python numbers and lists of them are converted. States may be left out: they are zeros then.
            lengths: whole numbers of shape ``(batch,)``, by name where the model has several lengths. Where there are
                none, lists tell them, and every row of an array has its full size.
            outputs: names of the outputs to compute; all by default.

        Returns:
            The outputs by name, in the declared dtypes and shapes. An axis that lengths measure is as long as the
            padded input's.

        Raises:
            InputError: names, values or lengths are wrong; DtypeError and ShapeError are kinds of it.
            SessionError: the session is closed, or ONNX Runtime failed.
        """
        run = self._direct or self._opened()
        names = self._outputs if outputs is None else self._chosen(outputs)
        feed = self._feeder.feed(inputs, lengths)
        if self._feeder.may_be_empty and not all(array.size for array in feed.values()):
            empty = empty_answer(self.signature, feed, names)
            if empty is not None:
                return empty
        return self._run(run, names, feed)

    def _run(self, run: Run, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """ONNX Runtime's answer to a feed that was checked."""
        try:
            values = run(names, feed)
        except Exception as error:
            raise self.failure(feed, error) from error
        return dict(zip(names, values))  # noqa: B905  (there are as many as names; to ask costs more than to make it)

    def initial_state(self, batch: int = 1) -> State:
        """Where streams begin: zeros, or what the model learned.

        Args:
            batch: how many streams; a model of a fixed batch has as many as that.

        Raises:
            VariantError: the session is not of a streaming variant.
            InputError: ``batch`` is no number of streams.
        """
        self._must_stream()
        if type(batch) is not int or batch < 1:
            raise InputError(f"batch is {batch!r}; it must be a whole number of streams from 1.")
        values = {}
        for name, _ in self._following:
            spec = self.signature.input(name)
            row = self._learned.get(name)
            if row is None:
                row = np.zeros([1, *(axis for axis in spec.axes[1:] if isinstance(axis, int))], spec.dtype)
            # A model of a fixed batch has that many streams, whatever is asked for.
            rows = batch if isinstance(spec.axes[0], str) else spec.axes[0]
            # What the model learned is stored in float32; a float16 face takes it in its own type.
            values[name] = np.repeat(row.astype(spec.dtype, copy=False), rows, axis=0)
        return State(owner=self._owner, values=values)

    def step(self, inputs: Mapping[str, Any], state: State) -> tuple[dict[str, NDArray[Any]], State]:
        """Run one chunk of each stream in a batch.

        A model that skips frames or looks ahead (:attr:`rnnx.manifest.Variant.chunks`) answers later than it is asked:
        frames that cannot be run yet wait in the state, and :meth:`finish` gives what is left at the end.

        Args:
            inputs: by name, ``(batch, time, ...)``, any number of steps from 1.
            state: from :meth:`initial_state` or an earlier step; it stays as it is.

        Returns:
            The outputs of these steps by name, and the state after them. Where all frames wait, outputs over time have
            no steps, and the others are left out.

        Raises:
            VariantError: the session is not of a streaming variant.
            StateError: the state belongs to another bundle or variant.
            InputError: the inputs are wrong, or the state is of another number of streams.
            SessionError: the session is closed, or ONNX Runtime failed.
        """
        self._must_stream()
        if state.owner != self._owner:
            state.check_owner(self._owner)
        if self._waiting is not None:
            return self._step_waiting(self._waiting, inputs, state)
        outputs = self.run({**inputs, **state.values})
        values = {name: outputs.pop(output) for name, output in self._following}
        return outputs, State(owner=self._owner, values=values)

    def _step_waiting(
        self, waiting: Waiting, inputs: Mapping[str, Any], state: State
    ) -> tuple[dict[str, NDArray[Any]], State]:
        """One chunk of a model that takes some numbers of frames only."""
        run = self._direct or self._opened()
        feed = self._feeder.feed({**inputs, **state.values})
        held = waiting.joined(state, feed)
        frames = waiting.frames(held)
        taken = waiting.runnable(frames, state)
        values = state.values
        if taken:
            outputs = self._run(run, self._outputs, {**feed, **waiting.fed(held, taken)})
            values = {name: outputs.pop(output) for name, output in self._following}
        else:
            outputs = waiting.nothing(held, state)
        rest = waiting.rest(held, taken)
        return outputs, State(owner=self._owner, values=values, pending=rest, waiting=frames - taken)

    def finish(self, state: State) -> dict[str, NDArray[Any]]:
        """End the streams of a batch: the answers that were still to come.

        Args:
            state: after the last step. It stays as it is; streams that go on after all go on from it.

        Returns:
            The outputs by name. Where nothing was to come, as with every model that takes any number of frames, outputs
            over time have no steps and the others are left out. A stream that is too short for a single answer of the
            model has none.

        Raises:
            VariantError: the session is not of a streaming variant.
            StateError: the state belongs to another bundle or variant.
            SessionError: the session is closed, or ONNX Runtime failed.
        """
        self._must_stream()
        run = self._direct or self._opened()
        state.check_owner(self._owner)
        waiting = self._waiting
        if waiting is None:
            time = self.bundle.manifest.signature.time_axis or TIME
            return Waiting(self.signature, Chunks(axis=time)).nothing({}, state)
        frames = waiting.frames(state.pending)
        if not waiting.ends_with_run(frames, state):
            return waiting.nothing(state.pending, state)
        feed = {**waiting.fed(state.pending, frames), **state.values, **waiting.ending(state)}
        outputs = self._run(run, self._outputs, feed)
        for _, output in self._following:
            del outputs[output]
        return outputs

    def bound(self, state: State) -> BoundState | None:
        """Buffers that hold a copy of the state, which a stream pushes to; None where it must take plain steps.

        See :mod:`rnnx.runtime.bound` for which models do. A state that does not fit the model also gives None: the
        plain step says what is wrong with it.
        """
        return None if self._binder is None or state.owner != self._owner else self._binder.bind(self, state)

    def stream(self, batch: int = 1, *, state: State | None = None) -> Stream:
        """A holder of the state of ``batch`` streams that go on together; see :class:`Stream`."""
        return Stream(self, batch=batch, state=state)

    def close(self) -> None:
        """Free the session. Runs that other threads have begun end well; new ones raise SessionError."""
        self._session = self._direct = None
        if self._binder is not None:
            self._binder.release()

    def __enter__(self) -> Self:
        """This session."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def opened(self) -> OrtSession:
        """ONNX Runtime's own session; SessionError where this one is closed."""
        session = self._session
        if session is None:
            raise SessionError(f"the session of '{self.bundle.path}' is closed. Load the bundle again.")
        return session

    def _opened(self) -> Run:
        """How the session is run; SessionError where it is closed."""
        return direct_run(self.opened())

    def check(
        self,
        inputs: Mapping[str, Any],
        lengths: ArrayLike | Mapping[str, ArrayLike] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> tuple[dict[str, NDArray[Any]], Sequence[str]]:
        """The feed and the names of the outputs of a :meth:`run`, with its checks and its errors, without running."""
        names = self._outputs if outputs is None else self._chosen(outputs)
        return self._feeder.feed(inputs, lengths), names

    def failure(self, feed: Mapping[str, NDArray[Any]], error: Exception) -> SessionError:
        """The error for a feed with which ONNX Runtime failed."""
        shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in feed.items())
        engine = "OpenVINO" if is_openvino(self.provider) else "ONNX Runtime"
        return SessionError(
            f"{engine} failed in variant '{self.variant.key}' of '{self.bundle.path}' on {self.provider} "
            f"with {shapes}: {error}"
        )

    def placement(
        self, inputs: Mapping[str, Any] | None = None, lengths: ArrayLike | Mapping[str, ArrayLike] | None = None
    ) -> Placement:
        """Where each node really runs, and what is copied between devices: one run of a second session, profiled.

        Args:
            inputs: as for :meth:`run`; None for the smallest that the session takes.
            lengths: as for :meth:`run`.

        Raises:
            InputError: as :meth:`run`.
            SessionError: the session is closed, or the run failed.
        """
        self.opened()
        if self._opening is None:
            raise SessionError("the session was not made by rnnx.load, so it cannot be profiled. Use rnnx.load.")
        feed = self._feeder.feed(example_inputs(self.signature) if inputs is None else inputs, lengths)
        return self._opening.placement(self.provider, self._outputs, feed)

    def _must_stream(self) -> None:
        if self.variant.mode != STREAMING:
            raise VariantError(
                f"variant '{self.variant.key}' of '{self.bundle.path}' runs whole sequences. Load the streaming one: "
                "rnnx.load(path, mode='streaming')."
            )

    def _chosen(self, outputs: Sequence[str]) -> list[str]:
        names = [outputs] if isinstance(outputs, str) else list(outputs)
        wrong = [name for name in names if name not in self._outputs]
        if wrong or not names:
            allowed = ", ".join(f"'{name}'" for name in self._outputs)
            what = f"output '{wrong[0]}' is not known" if wrong else "no outputs are asked for"
            raise InputError(f"{what}; the model has {allowed}.")
        return names
