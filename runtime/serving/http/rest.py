"""Every path of the v2 protocol but inference: health, metadata, configuration, statistics, repository; and metrics.

Sources: Open Inference Protocol v2 (HTTP/REST); its extensions for statistics, model configuration and model
repository, as Triton has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from ....errors import RequestError, RnnxError
from ..protocol.compression import decompress
from ..protocol.json_text import read_json
from ..protocol.limits import check_text, shown
from ..protocol.parameters import check_parameters
from .answers import send_answer, send_error, send_json
from .bodies import Body, GoneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from ..protocol.request import Parameter
    from ..service import Service
    from .site import Site

    Reply = tuple[dict[str, Any], int]

#: Bodies of these paths are a few words.
_BODY_BYTES = 64 << 10
_VERSION = "/versions/{version}"


class Asked:
    """One request of these paths.

    Attributes:
        name: of the model in the path, or empty.
        version: of the model in the path, or empty.
        found: the JSON object in the body; empty where there is none.
    """

    def __init__(self, scope: Scope, found: dict[str, Any]) -> None:
        """Take it from ASGI's scope."""
        parameters: dict[str, str] = scope["path_params"]
        self.name = parameters.get("name", "")
        self.version = parameters.get("version", "")
        self.found = found


class Endpoint:
    """An ASGI endpoint of a function: reads the body's JSON, and tells the answer or the error as JSON.

    The function gives any JSON, a pair of it with a status, or None for an empty object.
    """

    def __init__(self, answer: Callable[[Asked], Awaitable[Any]], site: Site) -> None:
        """Answer with a function."""
        self._answer = answer
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        headers = headers_of(scope)
        with Body(headers, receive, self._site, _BODY_BYTES) as body:
            try:
                found = await self._read(body, headers) if scope["method"] == "POST" else {}
                # A model is loaded also where its client does not wait for that.
                answer = await self._answer(Asked(scope, found))
            except GoneError:
                raise
            except Exception as error:  # noqa: BLE001  (told as the table of errors has it, and logged there)
                await body.refuse(send, error)
                return
            value, status = answer if isinstance(answer, tuple) else (answer, 200)
            await send_json(send, {} if value is None else value, status)

    async def _read(self, body: Body, headers: dict[bytes, bytes]) -> dict[str, Any]:
        encoding = headers.get(b"content-encoding", b"").decode("latin-1")
        content = decompress(await body.read(), encoding, _BODY_BYTES)
        found = read_json(content, self._site.service.limits) if content else {}
        if not isinstance(found, dict):
            raise RequestError(f"the body must be an object, or nothing; found {shown(found)}.")
        return found


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Headers by name, in lower case."""
    found: dict[bytes, bytes] = scope.get("headers_by_name") or dict(scope["headers"])
    return found


class Answers:
    """What each path answers, by the service."""

    def __init__(self, service: Service) -> None:
        """Answer with a service."""
        self._service = service

    async def live(self, _: Asked) -> Reply:
        """Whether the process answers."""
        return _health({"live": self._service.live()}, good=self._service.live())

    async def ready(self, _: Asked) -> Reply:
        """Whether all models can be used."""
        return _health({"ready": self._service.ready()}, good=self._service.ready())

    async def model_ready(self, asked: Asked) -> Reply:
        """Whether a model can be used."""
        good = self._service.model_ready(asked.name, asked.version)
        return _health({"name": asked.name, "ready": good}, good=good)

    async def server(self, _: Asked) -> dict[str, Any]:
        """Name and extensions."""
        return self._service.server_metadata()

    async def model(self, asked: Asked) -> dict[str, Any]:
        """Inputs and outputs."""
        return self._service.model_metadata(asked.name, asked.version)

    async def config(self, asked: Asked) -> dict[str, Any]:
        """How a model is served."""
        return self._service.model_config(asked.name, asked.version)

    async def statistics(self, asked: Asked) -> dict[str, Any]:
        """Of one model, or all."""
        return self._service.statistics(asked.name, asked.version)

    async def index(self, asked: Asked) -> list[dict[str, str]]:
        """Every model and its state."""
        only = asked.found.get("ready", False)
        if not isinstance(only, bool):
            raise RequestError(f"'ready' must be true or false; found {shown(only)}.")
        return self._service.repository_index(only)

    async def load(self, asked: Asked) -> None:
        """Load a model."""
        await self._service.load(asked.name, _load_parameters(self._parameters(asked)))

    async def unload(self, asked: Asked) -> None:
        """Unload a model."""
        await self._service.unload(asked.name, _unload_parameters(self._parameters(asked)))

    async def metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Prometheus' text."""
        del scope, receive
        try:
            content, media = self._service.metrics.exposition()
        except RnnxError as error:
            await send_error(send, error)
            return
        await send_answer(send, 200, content, media.encode("latin-1"))

    def _parameters(self, asked: Asked) -> dict[str, Parameter]:
        return check_parameters("the request", asked.found.get("parameters"), self._service.limits)


def routes(site: Site) -> list[Route]:
    """The routes of an application."""
    answers = Answers(site.service)

    def route(method: str, path: str, answer: Callable[[Asked], Awaitable[Any]]) -> Route:
        return Route(path, Endpoint(answer, site), methods=[method])

    def each(ending: str, answer: Callable[[Asked], Awaitable[Any]]) -> list[Route]:
        return [route("GET", f"/v2/models/{{name}}{version}{ending}", answer) for version in ("", _VERSION)]

    return [
        route("GET", "/v2/health/live", answers.live),
        route("GET", "/v2/health/ready", answers.ready),
        route("GET", "/v2", answers.server),
        route("GET", "/v2/models/stats", answers.statistics),
        *each("/ready", answers.model_ready),
        *each("/config", answers.config),
        *each("/stats", answers.statistics),
        *each("", answers.model),
        route("POST", "/v2/repository/index", answers.index),
        route("POST", "/v2/repository/models/{name}/load", answers.load),
        route("POST", "/v2/repository/models/{name}/unload", answers.unload),
        Route("/metrics", Bare(answers.metrics), methods=["GET"]),
    ]


class Bare:
    """An ASGI function as Starlette's Route takes it: an object, for it takes functions to be of requests."""

    def __init__(self, function: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        """Wrap it."""
        self._function = function

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call it."""
        await self._function(scope, receive, send)


def _health(value: dict[str, Any], *, good: bool) -> Reply:
    """Good is 200; else 503, which balancers and probes know, and clients read as not ready."""
    return value, 200 if good else 503


def _load_parameters(found: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    """Parameters that the protocol has: ``config``, and ``file:PATH``; neither is offered, as the service says."""
    for name, value in found.items():
        if name != "config" and not name.startswith("file:"):
            raise RequestError(f"the parameter {shown(name)} is not known. Load a model without parameters.")
        check_text(f"the parameter {shown(name)}", value, 1 << 20)
    return found


def _unload_parameters(found: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    for name, value in found.items():
        if name != "unload_dependents" or not isinstance(value, bool):
            raise RequestError(
                f"the parameter {shown(name)} is not known or no boolean. 'unload_dependents' may be given."
            )
    return found
