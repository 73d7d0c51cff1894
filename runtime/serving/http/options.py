"""Limits of HTTP itself, beside those of requests (``protocol/limits.py``)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpOptions:
    """How long clients may take and how much they may hold.

    Attributes:
        open_metrics: whether ``/metrics`` needs no bearer token.
        head_s: how long the head of a request may take to arrive, seconds.
        body_s: how long a body may take to arrive, seconds, beside what ``body_bytes_per_s`` gives.
        body_bytes_per_s: a larger body has one more second for each of so many bytes.
        held_bytes: bytes of all bodies together that are read or answered at a time; more are refused.
        keep_alive_s: how long a connection may be open between two requests, seconds. Longer than balancers keep it,
            which is a minute mostly, so that none is closed while a request is on its way.
        refusal_pause_s: how long a refusal is held back where the queue is full, seconds; less where the server is so
            busy that it tells them late.
        write_s: how long a client may read nothing of an answer that waits for it, seconds.
        message_bytes: bytes of one WebSocket message.
        in_flight: messages of one WebSocket that are taken before their answers; no more are read until then.
        start_s: how long a WebSocket may be open without its first message, and then without a first chunk, seconds.
    """

    open_metrics: bool = False
    head_s: float = 10.0
    body_s: float = 30.0
    body_bytes_per_s: int = 1 << 18
    held_bytes: int = 512 << 20
    keep_alive_s: int = 65
    refusal_pause_s: float = 0.014
    write_s: float = 30.0
    message_bytes: int = 16 << 20
    in_flight: int = 4
    start_s: float = 30.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name != "open_metrics" and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ValueError(f"the option '{one.name}' is {value!r}. Give it a number above 0.")
