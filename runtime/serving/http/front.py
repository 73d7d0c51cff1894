"""The outermost layer: who asks, from where, and what the request is called. One plain ASGI application, no middleware.

Every answer has ``x-request-id``: the client's own, where it is a plain text of up to 128 characters, or a new one.

With a token, everything asks for ``authorization: Bearer TOKEN`` (RFC 6750), except the health of the server and of
models, the status page (a file that is the same for everybody), and, where it is opened, ``/metrics``.

A page of another site that is open in a browser on this machine can send requests here. Browsers say so in ``origin``
(RFC 6454), and where that is not the host that was asked, everything that could change something is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..logs import REQUEST_ID, new_request_id
from ..tracing import HEADERS
from .answers import RefusedError, send_error
from .bearing import Bearer
from .bodies import Body, GoneError
from .infer import Target, client_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .infer import InferEndpoint
    from .site import Site

#: Paths of one inference; matched before all others.
INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_OPEN = re.compile(r"/|/v2/health/(live|ready)|/v2/models/[^/]+(/versions/[^/]+)?/ready")
_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BEGINNINGS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class Front:
    """Names a request, lets it in or not, and hands it on."""

    def __init__(self, site: Site, infer: InferEndpoint, rest: ASGIApp) -> None:
        """Stand before the endpoints.

        Args:
            site: whose requests these are.
            infer: answers inference.
            rest: answers all other paths.
        """
        self._site = site
        self._infer = infer
        self._rest = rest
        self._bearer = Bearer(site.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] not in {"http", "websocket"}:
            return  # lifespan: nothing begins or ends with this application
        headers: dict[bytes, bytes] = dict(scope["headers"])
        name = headers.get(b"x-request-id", b"")
        if not _ID.fullmatch(name):
            name = new_request_id().encode("ascii")
        REQUEST_ID.set(name.decode("ascii"))
        if self._site.service.tracing.on:
            HEADERS.set({key.decode("latin-1"): value.decode("latin-1") for key, value in headers.items()})

        async def named(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name)]
            await send(message)

        refusal = self._refusal(scope, headers)
        try:
            if refusal is None:
                await self._hand_on(scope, receive, named, headers)
            elif scope["type"] == "websocket":
                await refuse_socket(receive, named, refusal)
            else:
                with Body(headers, receive, self._site, 0) as body:
                    await body.refuse(named, refusal)
        except GoneError:
            return

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]) -> None:
        found = INFER.fullmatch(scope["path"]) if scope.get("method") == "POST" else None
        if found is not None:
            await self._infer(receive, send, headers, Target(found[1], found[2] or "", client_of(scope)))
        else:
            scope["headers_by_name"] = headers
            await self._rest(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> RefusedError | None:
        """Why a request is not let in, or None."""
        if self._bearer and not self._is_open(scope):
            given = headers.get(b"authorization", b"")
            if not self._bearer.lets_in(given):
                why = "the bearer token is not right" if given else "a bearer token is needed"
                return RefusedError(
                    401,
                    f"{why}. Send the header 'authorization: Bearer TOKEN'.",
                    headers={"www-authenticate": "Bearer"},
                )
        origin = headers.get(b"origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in _SAFE):
            return None
        if origin.partition(b"://")[2].lower() == headers.get(b"host", b"").lower():
            return None
        return RefusedError(403, "a page of another site sent this request, which is not allowed here.")

    def _is_open(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return (self._site.options.open_metrics and path == "/metrics") or (
            scope["type"] == "http" and scope["method"] in {"GET", "HEAD"} and _OPEN.fullmatch(path) is not None
        )


async def refuse_socket(receive: Receive, send: Send, error: BaseException) -> None:
    """Answer the handshake of a WebSocket with an error of HTTP."""
    await receive()  # websocket.connect

    async def as_handshake(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await send_error(as_handshake, error)
