"""How each error is told over HTTP and over gRPC. The one table, so that both say the same."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from .... import errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """How an error is told.

    Attributes:
        http: HTTP status.
        grpc: name of the member of ``grpc.StatusCode``.
        retry: whether the same request may succeed a little later (``Retry-After``).
    """

    http: int
    grpc: str
    retry: bool = False


_BAD = Status(http=400, grpc="INVALID_ARGUMENT")
_MISSING = Status(http=404, grpc="NOT_FOUND")
_BROKEN = Status(http=500, grpc="INTERNAL")
_LATER = Status(http=503, grpc="UNAVAILABLE", retry=True)

#: An error counts as the nearest of its classes that stands here. What does not stand here is a fault of ours.
TABLE: dict[type[BaseException], Status] = {
    errors.RequestError: _BAD,
    errors.RequestTooLargeError: Status(http=413, grpc="RESOURCE_EXHAUSTED"),
    errors.MediaError: Status(http=415, grpc="INVALID_ARGUMENT"),
    errors.FeatureError: Status(http=501, grpc="UNIMPLEMENTED"),
    errors.InputError: _BAD,
    errors.StateError: _BAD,
    errors.TokenError: _BAD,
    errors.ModelNotFoundError: _MISSING,
    errors.BundleNotFoundError: _MISSING,
    errors.VariantError: _MISSING,
    errors.ModelUnavailableError: _LATER,
    # Triton tells a full queue so, too; load balancers take the request elsewhere.
    errors.QueueFullError: _LATER,
    errors.DeadlineError: Status(http=504, grpc="DEADLINE_EXCEEDED"),
    errors.StreamNotFoundError: _MISSING,
    errors.StreamExistsError: Status(http=409, grpc="ALREADY_EXISTS"),
    errors.StreamBusyError: Status(http=409, grpc="ABORTED", retry=True),
    errors.TooManyStreamsError: Status(http=429, grpc="RESOURCE_EXHAUSTED", retry=True),
    errors.MissingExtraError: Status(http=501, grpc="UNIMPLEMENTED"),
    errors.RnnxError: _BROKEN,
    # The client went away; 499 is nginx's number for that, which only logs see.
    asyncio.CancelledError: Status(http=499, grpc="CANCELLED"),
    BaseException: _BROKEN,
}


def status_of(error: BaseException) -> Status:
    """How an error is told."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def message_of(error: BaseException) -> str:
    """What a client is told. Only errors raised on purpose speak to clients; others may hold what is not theirs."""
    if isinstance(error, errors.RnnxError):
        return str(error)
    if isinstance(error, asyncio.CancelledError):
        return "the request was cancelled."
    return "the server failed while it answered this request. Its log says why."
