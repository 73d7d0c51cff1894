"""What every call passes first: the bearer token, the end of the server, the request's id, its trace."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from ..logs import REQUEST_ID
from ..tracing import HEADERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Calls of this service need no token and are answered to the end: balancers ask it.
OPEN = "/grpc.health.v1.Health/"
_BEARER = "bearer "


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Lets calls in, or refuses them before anything of them is read.

    Attributes:
        closing: why nothing is let in any more; empty while it is.
    """

    def __init__(self, *, token: str = "", traced: bool = False) -> None:
        """Make it.

        Args:
            token: what clients must bear, ``authorization: Bearer TOKEN``; empty for nothing.
            traced: whether a call's metadata is kept for its spans.
        """
        self.closing = ""
        self._token = token.encode()
        self._traced = traced

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:  # noqa: ANN401  (grpc's)
        """The handler of a call, or one that refuses it."""
        if details.method.startswith(OPEN):
            return await continuation(details)
        given = dict(details.invocation_metadata)
        if self._token and not self._bears(given.get("authorization", "")):
            return _refusing(
                grpc.StatusCode.UNAUTHENTICATED,
                "this server asks for a bearer token, and none or another one was given. "
                "Send the metadata 'authorization: Bearer TOKEN'.",
            )
        if self.closing:
            return _refusing(grpc.StatusCode.UNAVAILABLE, self.closing)
        # In this call's own task, and so in its context.
        REQUEST_ID.set(given.get("x-request-id", ""))
        if self._traced:
            HEADERS.set({name: value for name, value in given.items() if isinstance(value, str)})
        return await continuation(details)

    def _bears(self, given: str | bytes) -> bool:
        text = given.decode(errors="replace") if isinstance(given, bytes) else given
        kind, token = text[: len(_BEARER)], text[len(_BEARER) :]
        return kind.lower() == _BEARER and hmac.compare_digest(token.strip().encode(), self._token)


def _refusing(code: grpc.StatusCode, message: str) -> Any:  # noqa: ANN401  (grpc ships no types)
    async def refuse(_: object, context: Any) -> None:  # noqa: ANN401
        await context.abort(code, message)

    # Of streams, whatever the method is: a handler of single messages would wait for one first.
    return grpc.stream_stream_rpc_method_handler(refuse)
