"""Errors as gRPC tells them, and what a call says of its client."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import grpc

from ....errors import RequestError, RnnxError
from ..logs import LOGGER, new_request_id
from ..protocol.status import message_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

#: Longest message of a status: it travels as metadata, and clients take 8 KiB of that by default.
_LONGEST = 2000


class Unreadable:
    """What is handed over in place of a message whose bytes are none."""


def reader(kind: Any) -> Callable[[bytes], Any]:  # noqa: ANN401  (a generated class)
    """Reads messages of a kind; what cannot be read becomes :class:`Unreadable`, for its method to refuse.

    An error that is raised here would be told as a fault of the server.
    """
    parse = kind.FromString

    def read(data: bytes) -> object:
        try:
            return parse(data)
        except Exception:  # noqa: BLE001  (protobuf's implementations raise errors of their own)
            return Unreadable()

    return read


def check_readable(message: object, method: str) -> None:
    """Refuse what came in place of a message (RequestError)."""
    if isinstance(message, Unreadable):
        raise RequestError(f"the bytes are no message of '{method}'. Send what the service's .proto says.")


def tell(error: Exception, where: str) -> tuple[grpc.StatusCode, str]:
    """Code and message of an error, for the client.

    An error that was not raised on purpose is logged with its traceback under an id, and only the id is told.

    Args:
        error: what was raised.
        where: the method, for the log.
    """
    text = message_of(error)
    if not isinstance(error, RnnxError):
        name = new_request_id()
        text = f"{text} Look for '{name}'."
        fields = {"id": name, "method": where}
        LOGGER.log(logging.ERROR, "%s", "request failed", exc_info=error, extra={"fields": fields})
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return getattr(grpc.StatusCode, status_of(error).grpc), text


def client_of(context: Any) -> str:  # noqa: ANN401  (grpc ships no types)
    """Whose turn a call takes: the address of the other end, without its port."""
    peer: str = context.peer()
    return peer.rpartition(":")[0] if peer.startswith("ip") else peer
