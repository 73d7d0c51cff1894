"""Clients over WebSocket: streams that finish, are killed within a chunk, idle, or go on by token elsewhere."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import TYPE_CHECKING, Any

from .visit import Visit, cuts

if TYPE_CHECKING:
    import random

    import numpy as np
    from numpy.typing import NDArray
    from websockets.asyncio.client import ClientConnection

_LENGTH = struct.Struct("<I")
_POLICY = 1008


async def visit_by_socket(visit: Visit, draw: random.Random) -> None:
    """Stream after stream."""
    while visit.goes_on():
        way = draw.choices(("finish", "kill", "idle", "resume"), (60, 20, 8, 12))[0]
        try:
            await _one(visit, draw, way)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is told at the end)
            visit.fail(f"WebSocket, {way}: {type(error).__name__}: {error}")
            await asyncio.sleep(0.1)


async def _one(visit: Visit, draw: random.Random, way: str) -> None:
    """One stream from its beginning to its end, whichever that is."""
    number = draw.randrange(len(visit.truth.streams))
    parts = list(cuts(draw))
    turn = draw.randrange(len(parts))
    socket = await _open(visit, "")
    visit.counts["streams begun"] += 1
    try:
        for at, span in enumerate(parts):
            await _send(socket, {"inputs": [_entry(visit, number, span)]}, _bytes(visit, number, span))
            if at == turn and way == "kill":
                await asyncio.sleep(draw.random() * 0.002)
                socket.transport.abort()
                visit.counts["WebSockets killed"] += 1
                return
            found, raw = await _read(socket, "answer")
            if found["sequence"] != at + 1 - (turn + 1 if way == "resume" and at > turn else 0):
                visit.fail(f"WebSocket: answer {found['sequence']} came for chunk {at + 1}.")
            visit.check_part(f"WebSocket, {way}", raw, number, span)
            if at == turn and way == "idle":
                await _idle(visit, socket)
                return
            if at == turn and way == "resume":
                await _send(socket, {"type": "token"}, b"")
                token = (await _read(socket, "token"))[0]["token"]
                await socket.close()
                socket = await _open(visit, token)
                visit.counts["streams resumed"] += 1
        await _send(socket, {"type": "finish"}, b"")
        await _read(socket, "finished")
        await socket.wait_closed()
        visit.counts["streams finished"] += 1
    finally:
        await socket.close()


async def _open(visit: Visit, token: str) -> ClientConnection:
    """A connection whose stream has started."""
    from websockets.asyncio.client import connect  # noqa: PLC0415  (an extra)

    url = f"ws://127.0.0.1:{visit.http}/v2/models/{visit.truth.model}/stream"
    socket = await connect(url, compression=None, proxy=None, open_timeout=30)
    start: dict[str, Any] = {"type": "start", "format": "binary"}
    await _send(socket, start | ({"resume": token} if token else {}), b"")
    await _read(socket, "started")
    return socket


async def _idle(visit: Visit, socket: ClientConnection) -> None:
    """Say nothing until the server ends the stream, which it says with a token and a reason."""
    async with asyncio.timeout(visit.idle_s + 10.0):
        await _read(socket, "token")
        await socket.wait_closed()
    if socket.close_code != _POLICY:
        visit.fail(f"WebSocket: an idle stream was closed with {socket.close_code}.")
    visit.counts["streams idled out"] += 1


async def _send(socket: ClientConnection, value: dict[str, Any], raw: bytes) -> None:
    text = json.dumps(value).encode()
    await socket.send(_LENGTH.pack(len(text)) + text + raw)


async def _read(socket: ClientConnection, kind: str) -> tuple[dict[str, Any], bytes]:
    """The next message, which must be of this type: its JSON and the bytes behind it.

    Raises:
        ValueError: it is of another.
    """
    async with asyncio.timeout(30):
        content = await socket.recv(decode=False)
    (length,) = _LENGTH.unpack_from(content)
    end = _LENGTH.size + length
    found: dict[str, Any] = json.loads(content[_LENGTH.size : end])
    if found.get("type") != kind:
        raise ValueError(f"'{kind}' was expected, and this came: {found}")
    return found, content[end:]


def _bytes(visit: Visit, number: int, span: slice) -> bytes:
    chunk: NDArray[np.float32] = visit.truth.streams[number][:, span]
    return chunk.tobytes()


def _entry(visit: Visit, number: int, span: slice) -> dict[str, Any]:
    chunk = visit.truth.streams[number][:, span]
    parameters = {"binary_data_size": chunk.nbytes}
    return {
        "name": visit.truth.names.input,
        "datatype": "FP32",
        "shape": list(chunk.shape),
        "parameters": parameters,
    }
