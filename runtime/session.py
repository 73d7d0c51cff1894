"""One variant of a bundle, loaded on one provider, answering whole batches.

From :meth:`Session.run` to ``InferenceSession.run`` there is nothing in between: the inputs are checked first, the
foreign errors are translated after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..bundle import Bundle
from ..errors import InputError, ManifestError, ProviderError, SessionError, VariantError
from ..manifest import Chunks
from ..signature import TIME
from .binding import binding_plan
from .bound import Binder
from .direct import direct_run
from .empty import empty_answer
from .inputs import Feeder
from .options import check_provider_options, given_options, own_options, spare_half
from .ort import import_ort
from .pending import Waiting
from .providers import AUTO, check_name, open_session
from .state import State
from .stream import Stream
from .tuning import find_tuned, only_tuned

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..manifest import Variant
    from ..signature import Signature
    from .bound import BoundState
    from .direct import Run
    from .ort import OrtOptions, OrtSession
    from .providers import ProviderChoice
    from .tuning import TunedUse

STREAMING = "streaming"


def load(
    path: str | os.PathLike[str],
    *,
    provider: str = AUTO,
    precision: str = "auto",
    form: str = "",
    threads: int | None = None,
    mode: str = "offline",
    session_options: OrtOptions | None = None,
    provider_options: Mapping[str, Any] | None = None,
    tuned: bool | str = False,
) -> Session:
    """Load one variant of a bundle.

    Args:
        path: the bundle's folder.
        provider: ``cpu``, ``cuda`` or ``tensorrt``; ``auto`` takes the first usable of ``cuda`` and ``cpu``, and
            :attr:`Session.provider_report` says which and why not the other.
        precision: ``fp32``, ``int8`` or ``fp16``; ``auto`` takes fp32 where the bundle has it.
        form: another graph of that precision and mode, such as ``scan``; empty for the one that export made.
        threads: threads within one operator, at least 1; None leaves it to ONNX Runtime (one for each core).
        mode: ``offline`` for whole sequences, ``streaming`` for chunks with a state.
        session_options: an ``onnxruntime.SessionOptions`` in place of rnnx's own, used as it is; but for fp16 one
            rewrite that ends the process is switched off in it.
        provider_options: ONNX Runtime's options for the named provider.
        tuned: take precision, form, threads and options from what ``rnnx tune`` found on a machine like this one, for
            the provider and the mode; :attr:`Session.tuned` says what that is. Where the bundle was tuned for several
            purposes, name one: ``"p99 1x100"`` (objective, batch x time), ``"p99"`` or ``"1x100"``.

    Raises:
        BundleError: the bundle cannot be read, or one of its files is not what its manifest says.
        VariantError: the bundle has no such variant.
        ProviderError: the provider is not known, or cannot really be used here.
        InputError: ``threads`` is no number of threads, or ``tuned`` is given together with what it decides.
        TuningError: the bundle was not tuned for this machine, provider or mode, or for several uses.
        MissingExtraError: ONNX Runtime is not installed.
        SessionError: ONNX Runtime does not load the variant.
    """
    check_name(provider)
    bundle = Bundle.open(path)
    use: TunedUse | None = None
    if tuned is False:
        variant = bundle.variant(precision, mode, form)
        ort = import_ort()
        options = own_options(ort, threads) if session_options is None else given_options(session_options, threads)
        wanted = provider
    else:
        of_entry = {"precision": precision != "auto", "form": form, "threads": threads is not None}
        of_entry |= {"session_options": session_options is not None, "provider_options": provider_options is not None}
        only_tuned([name for name, given in of_entry.items() if given])
        ort = import_ort()
        use = find_tuned(ort, bundle, tuned=tuned, provider=provider, mode=mode)
        variant, wanted = use.variant, use.provider
        options = own_options(ort, use.entry.threads, use.entry.session_options)
        provider_options = check_provider_options(wanted, use.entry.provider_options)
    if variant.precision == "fp16":
        spare_half(options)
    model: str | bytes
    if variant.data_files:
        # External weights are found beside the file, so ONNX Runtime must be given its path.
        bundle.check([variant.file, *variant.data_files])
        model = str(bundle.path / variant.file)
    else:
        # The very bytes that were hashed are loaded: nobody can change the file in between.
        model = bundle.read(variant.file)
    try:
        session, choice = open_session(ort, model, provider=wanted, options=options, provider_options=provider_options)
    except ProviderError:
        raise
    except Exception as error:
        raise SessionError(
            f"ONNX Runtime {ort.__version__} does not load variant '{variant.key}' of '{bundle.path}': {error}"
        ) from error
    if use is not None:
        choice = use.choice(choice, provider)
    return Session(session, bundle=bundle, variant=variant, choice=choice, tuned=use)


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
    ) -> None:
        """Take over a session of ONNX Runtime. Use :func:`load` to get one.

        Raises:
            ManifestError: the variant's inputs or outputs are not the manifest's.
        """
        self.bundle = bundle
        self.variant = variant
        self.provider_report = choice
        #: The tuned entry that it runs by, or None.
        self.tuned = tuned
        #: Inputs, outputs, lengths and states of the variant.
        self.signature: Signature = variant.signature or bundle.manifest.signature
        self._feeder = Feeder(self.signature)
        self._outputs = [spec.name for spec in self.signature.outputs]
        self._session: OrtSession | None = session
        self._direct: Run | None = direct_run(session)
        self._owner = f"{bundle.sha256} {variant.key}"
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
        return SessionError(
            f"ONNX Runtime failed in variant '{self.variant.key}' of '{self.bundle.path}' on {self.provider} "
            f"with {shapes}: {error}"
        )

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
