"""The application: everything that HTTP and WebSocket answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router

from .answers import RefusedError
from .bodies import Body, Held
from .front import Front, refuse_socket
from .infer import InferEndpoint, Target, client_of
from .openapi import openapi_routes
from .options import HttpOptions
from .page import page_routes
from .rest import Bare, headers_of, routes
from .site import Site
from .stream import stream_routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ..service import Service

_NOTHING = "there is nothing at this path. GET /openapi.json lists the paths."


def create_app(service: Service, *, token: str = "", options: HttpOptions | None = None) -> ASGIApp:
    """The ASGI application of a service.

    Args:
        service: what answers.
        token: what clients must bear, ASCII; empty for nothing.
        options: HTTP's own limits.
    """
    options = HttpOptions() if options is None else options
    site = Site(service=service, options=options, held=Held(options.held_bytes), token=token)
    infer = InferEndpoint(site)

    async def infer_by_route(scope: Scope, receive: Receive, send: Send) -> None:
        found: dict[str, str] = scope["path_params"]
        target = Target(found["name"], found.get("version", ""), client_of(scope))
        await infer(receive, send, headers_of(scope), target)

    paths = ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")
    table = [
        *(Route(path, Bare(infer_by_route), methods=["POST"]) for path in paths),
        *routes(site),
        *stream_routes(site),
        *openapi_routes(),
        *page_routes(service),
    ]
    # What only nearly is a path is none: no body is read for it.
    return Front(site, infer, _Rest(Router(table, redirect_slashes=False, default=_nothing), site))


class _Rest:
    """Starlette's router, whose refusals are told as all others are."""

    def __init__(self, router: Router, site: Site) -> None:
        self._router = router
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # the router then raises, and does not answer by itself
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            headers = dict(error.headers or {})
            if "Allow" in headers:  # in an order of its own each time
                headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
            refusal = RefusedError(error.status_code, _message(error, scope, headers), headers=headers)
            with Body(headers_of(scope), receive, self._site, 0) as body:
                await body.refuse(send, refusal)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What the router does where there is no route."""
    if scope["type"] == "websocket":
        await refuse_socket(receive, send, RefusedError(404, _NOTHING))
        return
    raise HTTPException(404)


def _message(error: HTTPException, scope: Scope, headers: Mapping[str, str]) -> str:
    if error.status_code == 405:
        return f"{scope['method']} is not answered here; {headers.get('Allow', 'other methods')} may be asked."
    return _NOTHING
