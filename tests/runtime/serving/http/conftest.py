"""Clients of the application: in the same loop without a socket, and over real ones."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import socket
import struct
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest

NEEDED = ("httpx", "jsonschema", "starlette", "uvicorn", "httptools", "websockets", "prometheus_client")
if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]  # the extra `serve` is not installed

INFER = "/v2/models/leaky/infer"
LENGTH = "Inference-Header-Content-Length"


def tensor(x, name="x", **more):
    """A JSON input."""
    kinds = {"float32": "FP32", "float64": "FP64", "int64": "INT64"}
    found = {"name": name, "datatype": kinds[str(x.dtype)], "shape": list(x.shape), "data": x.ravel().tolist()}
    return {**found, **more}


def body(x, **more):
    """A JSON request of one input."""
    return {"inputs": [tensor(x)], **more}


def binary(x, *, size=None, tail=b"", **more):
    """Headers and content of a request whose tensor lies behind the JSON."""
    raw = x.tobytes()
    found = {"name": "x", "datatype": "FP32", "shape": list(x.shape)}
    found["parameters"] = {"binary_data_size": len(raw) if size is None else size}
    head = json.dumps({"inputs": [found], "parameters": {"binary_data_output": True}, **more}).encode()
    return {"headers": {LENGTH: str(len(head))}, "content": head + raw + tail}


def values(answer, name="y"):
    """The output of an answer, from JSON or from the bytes behind it."""
    length = answer.headers.get(LENGTH)
    head = json.loads(answer.content if length is None else answer.content[: int(length)])
    at = 0 if length is None else int(length)
    for one in head["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size")
        if one["name"] == name:
            raw = one["data"] if size is None else np.frombuffer(answer.content, "<f4", size // 4, at)
            return np.array(raw, np.float32).reshape(one["shape"])
        at += size or 0
    raise KeyError(name)


def check_declared(answer):
    """Hold an answer against the OpenAPI document: its status, its content type, its schema and its headers."""
    import jsonschema

    from rnnx.runtime.serving.http.openapi import document

    path, method = answer.request.url.path, answer.request.method.lower()
    assert 1 <= len(answer.headers["x-request-id"]) <= 128
    if answer.status_code >= 400:
        assert list(answer.json()) == ["error"] or "ready" in answer.json()
    for pattern, operations in document()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path) and method in operations:
            found = operations[method]["responses"][str(answer.status_code)]
            kind = answer.headers["content-type"].split(";")[0]
            schema = found["content"][kind]["schema"]
            for name, header in found["headers"].items():
                assert name in answer.headers or not header.get("required")
            if kind == "application/json":
                whole = {**schema, "components": document()["components"]}
                jsonschema.Draft202012Validator(whole).validate(answer.json())
            return
    assert answer.status_code in {401, 404, 405}


@asynccontextmanager
async def talking(app):
    """A client of an application; each answer is held against the document."""
    import httpx

    async def check(answer):
        await answer.aread()
        if answer.request.method != "HEAD":
            check_declared(answer)

    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    hooks = {"response": [check]}
    async with httpx.AsyncClient(transport=transport, base_url="http://here", event_hooks=hooks) as client:
        yield client


class Closed(Exception):  # noqa: N818  (no error of ours)
    """The server closed the WebSocket, or refused its handshake."""

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Socket:
    """A WebSocket to an application, without a network."""

    def __init__(self, app, path="/v2/models/leaky/stream", headers=(), subprotocols=()):
        self.incoming, self.outgoing = asyncio.Queue(), asyncio.Queue()
        self.taken = 0  # messages that the application has received
        self.writable = asyncio.Event()
        self.writable.set()
        self.scope = {
            "type": "websocket",
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in headers],
            "subprotocols": list(subprotocols),
            "client": ("test", 1),
            "query_string": b"",
            "root_path": "",
        }
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(self.scope, self._receive, self._send))

    async def _receive(self):
        message = await self.incoming.get()
        self.taken += message["type"] == "websocket.receive"
        return message

    async def _send(self, message):
        await self.writable.wait()
        self.outgoing.put_nowait(message)

    async def accepted(self):
        message = await asyncio.wait_for(self.outgoing.get(), 10)
        if message["type"] == "websocket.accept":
            return message
        assert message["type"] == "websocket.http.response.start", message
        content = await self.outgoing.get()
        raise Closed(message["status"], json.loads(content["body"])["error"])

    def say(self, message, tensors=b""):
        """Send JSON, or bytes where there are tensors."""
        if isinstance(message, dict):
            message = json.dumps(message)
        if tensors is None or tensors:
            message = struct.pack("<I", len(message)) + message.encode() + (tensors or b"")
        kind = "bytes" if isinstance(message, bytes) else "text"
        self.incoming.put_nowait({"type": "websocket.receive", kind: message})

    async def hear(self):
        """The next message, as JSON; bytes of tensors are put into it."""
        message = await asyncio.wait_for(self.outgoing.get(), 10)
        if message["type"] == "websocket.close":
            raise Closed(message["code"], message["reason"])
        content = message.get("bytes")
        if content is None:
            return json.loads(message["text"])
        (length,) = struct.unpack_from("<I", content)
        found, at = json.loads(content[4 : 4 + length]), 4 + length
        for one in found.get("outputs", ()):
            size = one["parameters"]["binary_data_size"]
            one["data"] = np.frombuffer(content, "<f4", size // 4, at).tolist()
            at += size
        assert at == len(content)
        return found

    async def leave(self):
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(self.task, 10)


@asynccontextmanager
async def started(app, **start):
    """A WebSocket whose stream has started."""
    found = Socket(app)
    await found.accepted()
    found.say({"type": "start", **start})
    assert (await found.hear())["type"] == "started"
    try:
        yield found
    finally:
        found.writable.set()
        if not found.task.done():
            await found.leave()
        await found.task


@asynccontextmanager
async def listening(service, *, options=None, token=""):
    """The application behind real sockets; gives the port."""
    import uvicorn

    from rnnx.runtime.serving.http import create_app, uvicorn_options

    config = uvicorn.Config(
        create_app(service, token=token, options=options),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        **uvicorn_options(service, options, token=token),
    )
    server = uvicorn.Server(config)
    bound = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server._serve([bound]))
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await serving


@pytest.fixture(scope="session")
def web():
    """What tests here share."""
    from rnnx.runtime.serving.http import HttpOptions, create_app

    return SimpleNamespace(
        INFER=INFER,
        LENGTH=LENGTH,
        Closed=Closed,
        HttpOptions=HttpOptions,
        Socket=Socket,
        binary=binary,
        body=body,
        create_app=create_app,
        listening=listening,
        started=started,
        talking=talking,
        tensor=tensor,
        values=values,
    )
