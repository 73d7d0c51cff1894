"""Clients over HTTP: whole sequences of ragged lengths, requests that are wrong, and clients that go away."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import random

    from .truth import Whole
    from .visit import Visit

_END = b"\r\n\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wrong:
    """A request that is wrong, and the status that says so."""

    what: str
    status: int
    path: str
    body: bytes
    header_bytes: str


async def visit_by_http(visit: Visit, draw: random.Random) -> None:
    """Request after request over kept-alive connections."""
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while visit.goes_on():
        way = draw.choices(("whole", "wrong", "gone"), (70, 20, 10))[0]
        try:
            if streams is None:
                streams = await asyncio.open_connection("127.0.0.1", visit.http, limit=1 << 20)
            async with asyncio.timeout(60):
                if not await _one(visit, draw, way, *streams):
                    await _leave(streams[1])
                    streams = None
        except Exception as error:  # noqa: BLE001  (whatever it is, it is told at the end)
            visit.fail(f"HTTP, {way}: {type(error).__name__}: {error}")
            if streams is not None:
                await _leave(streams[1])
                streams = None
            await asyncio.sleep(0.1)
        await asyncio.sleep(draw.random() * 0.01)
    if streams is not None:
        await _leave(streams[1])


async def _leave(writer: asyncio.StreamWriter) -> None:
    """Close a connection, in whatever state it is."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _one(
    visit: Visit, draw: random.Random, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """One request; whether the connection can be used again."""
    model = visit.truth.model
    if way == "wrong":
        one = draw.choice(_wrong(visit, draw.choice(visit.truth.wholes)))
        writer.write(_head(one.path, len(one.body), one.header_bytes) + one.body)
        status, _, body, keep = await _read(reader)
        if status != one.status or b'"error"' not in body:
            visit.fail(f"HTTP: {one.what} was answered with {status}: {body[:200]!r}; {one.status} is right.")
        visit.counts["wrong requests refused"] += 1
        return keep
    whole = draw.choice(visit.truth.wholes)
    text, raw = _parts(visit, whole)
    head = _head(f"/v2/models/{model}/infer", len(text) + len(raw), str(len(text)))
    if way == "gone":
        cut = draw.choice((len(text) // 2, len(text) + len(raw) // 2, len(text) + len(raw)))
        writer.write(head + (text + raw)[:cut])
        await asyncio.sleep(draw.random() * 0.002)
        writer.transport.abort()
        visit.counts["requests abandoned"] += 1
        return False
    writer.write(head + text + raw)
    status, json_bytes, body, keep = await _read(reader)
    if status != 200:
        visit.fail(f"HTTP: a right request was answered with {status}: {body[:200]!r}")
        return keep
    values = np.frombuffer(body, np.float32, offset=json_bytes)
    shape = whole.answer.shape
    visit.check("HTTP", values.reshape(shape) if values.size == whole.answer.size else values, whole.answer)
    visit.counts["whole sequences answered"] += 1
    return keep


def _parts(visit: Visit, whole: Whole, **changes: Any) -> tuple[bytes, bytes]:  # noqa: ANN401  (any JSON)
    """JSON and tensors of a request."""
    names = visit.truth.names
    arrays: dict[str, tuple[str, np.ndarray[Any, Any]]] = {names.input: ("FP32", whole.frames)}
    if whole.lengths is not None:
        arrays[names.lengths] = ("INT64", whole.lengths)
    entries = [
        {
            "name": name,
            "datatype": datatype,
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, (datatype, array) in arrays.items()
    ]
    entries[0].update(changes)
    asked = {"inputs": entries, "outputs": [{"name": names.output, "parameters": {"binary_data": True}}]}
    return json.dumps(asked).encode(), b"".join(array.tobytes() for _, array in arrays.values())


def _wrong(visit: Visit, whole: Whole) -> list[_Wrong]:
    """Requests that are wrong in one way each."""
    path = f"/v2/models/{visit.truth.model}/infer"
    text, raw = _parts(visit, whole)

    def changed(what: str, **changes: Any) -> _Wrong:  # noqa: ANN401  (any JSON)
        found, behind = _parts(visit, whole, **changes)
        return _Wrong(what=what, status=400, path=path, body=found + behind, header_bytes=str(len(found)))

    return [
        _Wrong(
            what="an unknown model",
            status=404,
            path="/v2/models/no/infer",
            body=text + raw,
            header_bytes=str(len(text)),
        ),
        _Wrong(what="bytes that end early", status=400, path=path, body=text + raw[:-4], header_bytes=str(len(text))),
        _Wrong(what="no JSON", status=400, path=path, body=b"{" + raw, header_bytes="1"),
        _Wrong(what="a lie about the JSON", status=400, path=path, body=text, header_bytes=str(len(text) + 9)),
        changed("an unknown input", name="no such input"),
        changed("another datatype", datatype="FP64"),
        changed("another shape", shape=[1, 2, 3]),
        changed("a negative size", parameters={"binary_data_size": -4}),
    ]


def _head(path: str, size: int, header_bytes: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/octet-stream\r\n"
        f"inference-header-content-length: {header_bytes}\r\ncontent-length: {size}\r\n\r\n"
    ).encode("ascii")


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, bytes, bool]:
    """Status, length of the JSON, body, and whether the connection stays open."""
    head = (await reader.readuntil(_END)).decode("latin-1")
    lines = head.split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    body = await reader.readexactly(int(named["content-length"]))
    keep = named.get("connection", "") != "close"
    return int(lines[0].split(" ")[1]), int(named.get("inference-header-content-length", 0)), body, keep
