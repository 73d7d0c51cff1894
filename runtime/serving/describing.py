"""What a served model says of itself: the v2 metadata and configuration of the variant behind its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model import SUFFIX
from .protocol import metadata

if TYPE_CHECKING:
    from .model import Running
    from .repository import Face


def variant_of(face: Face) -> Running:
    """The variant that requests without ``sequence_id`` go to; a bundle with a streaming variant only has that one."""
    model = face.model
    found = model.streaming if face.carried or model.offline is None else model.offline
    assert found is not None, "a model is loaded with one variant at least"
    return found


def describe(face: Face) -> dict[str, Any]:
    """The metadata of a model."""
    session = variant_of(face).session
    return metadata.model_metadata(
        face.name, session.signature, states=shows_states(face), parameters=_parameters(face)
    )


def configure(face: Face) -> dict[str, Any]:
    """The configuration of a model, in Triton's words."""
    session, options = variant_of(face).session, face.model.options
    shows = shows_states(face)
    return metadata.model_config(
        face.name,
        session.signature,
        states=shows,
        max_batch=options.max_batch,
        max_delay_us=round(options.max_delay_ms * 1e3),
        max_queue=options.max_queue,
        max_streams=0 if shows else options.max_streams,
        idle_us=round(options.stream_idle_s * 1e6),
        file=session.variant.file,
        parameters=_parameters(face),
    )


def shows_states(face: Face) -> bool:
    """Whether states are inputs and outputs like others: of whole sequences, and where the client carries them."""
    return face.carried or face.model.offline is not None


def _parameters(face: Face) -> dict[str, str]:
    """What the protocol has no place for: which bundle and variant it is, and where its streams are."""
    model, session = face.model, variant_of(face).session
    found = {
        "sha256": model.bundle.sha256,
        "variant": session.variant.key,
        "provider": session.provider,
        "sequences": str(model.streaming is not None and not face.carried).lower(),
    }
    return found | ({"carried_states": model.name + SUFFIX} if model.carried and not face.carried else {})
