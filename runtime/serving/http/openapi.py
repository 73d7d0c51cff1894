"""``/openapi.json``: what HTTP answers here, as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1.html) says it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from .... import __version__
from ..protocol.json_text import write_json
from .answers import send_answer
from .rest import Bare
from .schemas import SCHEMAS, ref

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_JSON = "application/json"
_BYTES = "application/octet-stream"
_LENGTH = "Inference-Header-Content-Length"

#: Why a request may be refused, by status.
_REFUSALS = {
    400: "The request is not of the protocol's form, or its tensors do not fit the model.",
    401: "A bearer token is needed, or it is not right.",
    403: "A page of another site sent the request.",
    404: "There is no such model, version or stream.",
    405: "The path is answered by other methods.",
    408: "The body did not come in time.",
    409: "The sequence is open already, or another request of it is being answered.",
    413: "The body, or something in it, is larger than is allowed.",
    415: "The body's Content-Encoding is not known.",
    426: "Streams are WebSockets.",
    429: "As many sequences are open as may.",
    500: "The server failed.",
    501: "A part of the protocol that is not offered.",
    503: "The model or the server cannot answer now; Retry-After says when to try again.",
    504: "The request took longer than it may.",
}
_READING = (400, 401, 403, 408, 413, 415, 500, 503)


def openapi_routes() -> list[Route]:
    """The route of the document."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send_answer(send, 200, write_json(document()))

    return [Route("/openapi.json", Bare(answer), methods=["GET"])]


@cache
def document() -> dict[str, Any]:
    """The document; do not change it."""
    name = _in_path("name", "The model's name.")
    version = _in_path("version", "The model's version, '1'.")
    paths: dict[str, Any] = {
        "/v2": _get("Name, version and extensions of the server.", "Server"),
        "/v2/health/live": _get("Whether the process answers.", "Live", secured=False),
        "/v2/health/ready": _get("Whether all models can be used.", "Ready", unlike={503: "Ready"}, secured=False),
        "/v2/models/stats": _get("Statistics of all models.", "Statistics"),
        "/v2/repository/index": _post("Every model and its state.", "IndexRequest", "Index", _READING),
        "/v2/repository/models/{name}/load": _post(
            "Load a model, or load it again.", "LoadRequest", "Nothing", (*_READING, 404, 501), [name]
        ),
        "/v2/repository/models/{name}/unload": _post(
            "Take no more requests for a model.", "UnloadRequest", "Nothing", (*_READING, 404, 501), [name]
        ),
        "/v2/models/{name}/stream": {
            "get": _operation(
                "A stream, as a WebSocket.", {101: {"description": "Talk."}}, (401, 404, 426, 503), [name]
            )
        },
        "/metrics": {"get": _operation("Metrics for Prometheus.", {200: _content("Metrics.", {"text/plain": {}})})},
        "/status": _get("What the status page shows.", "Status"),
        "/openapi.json": {"get": _operation("This document.", {200: _content("It.", {_JSON: {"type": "object"}})})},
        "/": {
            "get": _operation(
                "The status page.", {200: _content("It.", {"text/html": {"type": "string"}})}, secured=False
            )
        },
    }
    for part, parameters in (("", [name]), ("/versions/{version}", [name, version])):
        path = f"/v2/models/{{name}}{part}"
        paths[path] = _get("Inputs and outputs of a model.", "Model", (404, 503), parameters)
        paths[f"{path}/ready"] = _get(
            "Whether a model can be used.", "ModelReady", (404,), parameters, unlike={503: "ModelReady"}, secured=False
        )
        paths[f"{path}/config"] = _get("How a model is served.", "Config", (404, 503), parameters)
        paths[f"{path}/stats"] = _get("Statistics of a model.", "Statistics", (404, 503), parameters)
        paths[f"{path}/infer"] = _infer(parameters)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rnnx",
            "version": __version__,
            "description": "The Open Inference Protocol v2 over recurrent models.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "headers": {"RequestId": {"schema": {"type": "string", "pattern": "^[!-~]{1,128}$"}, "required": True}},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _infer(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    length = {
        "name": _LENGTH,
        "in": "header",
        "description": "How long the JSON is where bytes follow it; 0 where the body is one tensor.",
        "schema": {"type": "integer", "minimum": 0},
    }
    binary = {"schema": {"type": "string", "format": "binary"}}
    good = _content("The outputs.", {_JSON: ref("InferResponse"), _BYTES: binary["schema"]})
    good["headers"][_LENGTH] = {"schema": {"type": "integer", "minimum": 1}, "description": "How long the JSON is."}
    refusals = tuple(status for status in _REFUSALS if status not in {405, 426})
    operation = _operation("Run a model.", {200: good}, refusals, [*parameters, length])
    operation["requestBody"] = {
        "required": True,
        "content": {_JSON: {"schema": ref("InferRequest")}, _BYTES: binary},
    }
    return {"post": operation}


def _get(
    summary: str,
    schema: str,
    refusals: tuple[int, ...] = (),
    parameters: list[dict[str, Any]] | None = None,
    *,
    unlike: dict[int, str] | None = None,
    secured: bool = True,
) -> dict[str, Any]:
    answers = {200: _content("It.", {_JSON: ref(schema)})}
    answers |= {status: _content(_REFUSALS[status], {_JSON: ref(one)}) for status, one in (unlike or {}).items()}
    return {"get": _operation(summary, answers, refusals, parameters, secured=secured)}


def _post(
    summary: str, asked: str, answer: str, refusals: tuple[int, ...], parameters: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    operation = _operation(summary, {200: _content("Done.", {_JSON: ref(answer)})}, refusals, parameters)
    operation["requestBody"] = {"required": False, "content": {_JSON: {"schema": ref(asked)}}}
    return {"post": operation}


def _operation(
    summary: str,
    answers: dict[int, dict[str, Any]],
    refusals: tuple[int, ...] = (),
    parameters: list[dict[str, Any]] | None = None,
    *,
    secured: bool = True,
) -> dict[str, Any]:
    statuses = dict.fromkeys((*refusals, 405, 500, *((401,) if secured else ())))
    told = {**answers, **{one: _refusal(one) for one in sorted(statuses) if one not in answers}}
    return {
        "summary": summary,
        "parameters": parameters or [],
        "responses": {str(status): told[status] for status in sorted(told)},
        # Where the server was started without a token, none is asked for.
        "security": [{}, {"bearer": []}] if secured else [],
    }


def _refusal(status: int) -> dict[str, Any]:
    found = _content(_REFUSALS[status], {_JSON: ref("Error")})
    named = {401: "WWW-Authenticate", 405: "Allow", 426: "Upgrade"}.get(status)
    if named is not None:
        found["headers"][named] = {"schema": {"type": "string"}, "required": True}
    if status in {409, 429, 503}:
        found["headers"]["Retry-After"] = {"schema": {"type": "integer"}}
    return found


def _content(description: str, kinds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
        "content": {kind: {"schema": schema} for kind, schema in kinds.items()},
    }


def _in_path(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }
