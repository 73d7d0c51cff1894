"""The calls of ModelStreamInfer that are open: how many, who idles, who does not read, and their common end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from .streaming import StreamCall

if TYPE_CHECKING:
    from ..service import Service

_LOOK_S = 0.5


class StreamCalls:
    """Runs calls and ends them. Used in the event loop's thread."""

    def __init__(self, service: Service, *, in_flight: int, idle_s: float) -> None:
        """Run calls for a service.

        Args:
            service: what answers.
            in_flight: most requests of one call that are read and not answered yet.
            idle_s: after how many seconds without a request a call ends.
        """
        self._service = service
        self._in_flight = in_flight
        self._idle_s = idle_s
        self._open: set[StreamCall] = set()
        self._looking: asyncio.Task[None] | None = None
        self._reason = ""

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    async def run(self, context: Any) -> None:  # noqa: ANN401  (grpc ships no types)
        """Answer a call's requests until its client or the server ends it."""
        call = StreamCall(self._service, context, in_flight=self._in_flight)
        self._open.add(call)
        if self._reason:
            call.end(grpc.StatusCode.UNAVAILABLE, self._reason)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            await call.run()
        finally:
            self._open.discard(call)

    def end(self, reason: str) -> None:
        """Read nothing more; every call ends when what was read is answered, with UNAVAILABLE and this reason."""
        self._reason = reason
        for call in self._open:
            call.end(grpc.StatusCode.UNAVAILABLE, reason)

    async def _look(self) -> None:
        """End calls that hold something and do nothing, for as long as there are calls."""
        try:
            while self._open:
                await asyncio.sleep(_LOOK_S)
                for call in list(self._open):
                    self._judge(call)
        finally:
            self._looking = None

    def _judge(self, call: StreamCall) -> None:
        stuck_s = self._service.limits.request_s
        if call.writing_s() > stuck_s:
            call.give_up()
        elif call.idle_s() > self._idle_s:
            call.end(
                grpc.StatusCode.UNAVAILABLE,
                f"the call was idle for {self._idle_s:g} s. Make another one when there is something to ask.",
            )
