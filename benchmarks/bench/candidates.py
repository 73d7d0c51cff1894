"""What is measured: a variant on a provider with some threads, or a peer, behind one small face."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ...runtime.session import STREAMING, load
from ...runtime.sizes import parse_ranges
from ...runtime.stream import run_in_chunks
from ...runtime.tensorrt import TENSORRT
from ...runtime.verify import golden_rows
from ...signature import TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ...runtime.session import Session
    from .request import Origin

    Inputs = Mapping[str, NDArray[Any]]

#: The engine of the bundle's own variants.
OWN = "rnnx"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """Which candidate, in words that another process understands too.

    Attributes:
        engine: ``rnnx``, or the name of a peer.
        precision: ``fp32``, ``int8`` or ``fp16``.
        provider: execution provider, such as ``cpu``.
        mode: ``offline`` or ``streaming``.
        threads: threads within one operator.
        form: of the variant's graph; empty for the one that export made.
    """

    engine: str
    precision: str
    provider: str
    mode: str
    threads: int
    form: str = ""

    @property
    def name(self) -> str:
        """``rnnx int8``, ``torch``: what it is called beside others of the same mode and threads."""
        parts = [self.engine]
        parts += [self.precision] if self.engine == OWN else []
        parts += [self.form] if self.form else []
        parts += [self.provider] if self.provider != "cpu" else []
        return " ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A candidate with its inputs in place.

    Attributes:
        call: runs it once. This alone is timed; what it returns is dropped.
        outputs: runs it once from its beginning and gives its outputs by name.
    """

    call: Callable[[], object]
    outputs: Callable[[], dict[str, NDArray[Any]]]


class Candidate(Protocol):
    """Something that can be measured.

    Attributes:
        spec: which it is.
        note: what a reader must know of it, or empty.
    """

    spec: Spec
    note: str

    def prepare(self, inputs: Inputs) -> Prepared:
        """Put inputs in place: every input of the bundle by name, but states."""

    def close(self) -> None:
        """Free what it holds."""


class VariantCandidate:
    """A variant of the bundle, called as a user would: ``Session.run``, or ``Stream.push`` in streaming mode."""

    def __init__(self, spec: Spec, origin: Origin) -> None:
        """Load the variant.

        Raises:
            RnnxError: as :func:`rnnx.load`.
        """
        self.spec = spec
        self._session = load(
            origin.bundle,
            provider=spec.provider,
            precision=spec.precision,
            form=spec.form,
            threads=spec.threads,
            mode=spec.mode,
            ranges=parse_ranges(origin.ranges) if spec.provider == TENSORRT else None,
        )
        own = self._session.variant.golden
        self.note = "may choose otherwise than fp32; held to golden vectors of its own" if own else ""

    def chooses_rightly(self) -> bool:
        """Whether it may choose otherwise than fp32, and gives the golden vectors of its own."""
        variant = self._session.variant
        return bool(variant.golden) and all(
            row.passed for row in golden_rows(self._session, self._session.bundle.golden(variant))
        )

    def prepare(self, inputs: Inputs) -> Prepared:
        """Inputs for whole runs; in streaming mode, the chunk that a stream is pushed again and again."""
        return prepare_session(self._session, inputs)

    def close(self) -> None:
        """Close the session."""
        self._session.close()


def prepare_session(session: Session, inputs: Inputs) -> Prepared:
    """Inputs for whole runs of a session; in streaming mode, the chunk that a stream is pushed again and again."""
    if session.variant.mode != STREAMING:
        return Prepared(call=lambda: session.run(inputs), outputs=lambda: session.run(inputs))
    chunk = {name: inputs[name] for name in session.stream_inputs}
    batch = next(iter(chunk.values())).shape[0]
    stream = session.stream(batch)
    time = session.bundle.manifest.signature.time_axis or TIME
    # A stream that is this one chunk: what is held back until it ends is part of its answer.
    return Prepared(call=lambda: stream.push(chunk), outputs=lambda: run_in_chunks(session, inputs, [], time))


def open_candidate(spec: Spec, origin: Origin) -> Candidate:
    """Load a candidate.

    Raises:
        PeerMissingError: a peer is not installed.
        Exception: whatever the engine raises where it does not take the model.
    """
    if spec.engine == OWN:
        return VariantCandidate(spec, origin)
    from .peers import open_peer  # noqa: PLC0415  (a peer may import torch)

    return open_peer(spec, origin)
