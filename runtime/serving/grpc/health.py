"""Health of the server and of each model, ``grpc.health.v1``: Check, Watch and List.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md. The names are ``""`` and the inference
service's for the server (is it ready?), and each model's own.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2

from ....errors import ModelNotFoundError
from ..protocol.proto import inference_pb2 as pb
from .telling import Unreadable, reader

if TYPE_CHECKING:
    from ..service import Service

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
#: How often watched names are looked at, seconds.
_LOOK_S = 0.05

_STATUS = health_pb2.HealthCheckResponse
_UNKNOWN: int = _STATUS.SERVICE_UNKNOWN


class Health:
    """Answers those who ask, and tells those who watch. Used in the event loop's thread."""

    def __init__(self, service: Service) -> None:
        """Speak for a service."""
        self._service = service
        #: Those who wait until a name's status is another one than they told last.
        self._waiting: dict[asyncio.Future[None], tuple[str, int]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._ended = False

    def handlers(self) -> Any:  # noqa: ANN401  (grpc ships no types)
        """The service, for a server to add."""
        one = reader(health_pb2.HealthCheckRequest)
        write = _STATUS.SerializeToString
        return grpc.method_handlers_generic_handler(
            NAME,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self.check, one, write),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch, one, write),
                "List": grpc.unary_unary_rpc_method_handler(
                    self.list, reader(health_pb2.HealthListRequest), health_pb2.HealthListResponse.SerializeToString
                ),
            },
        )

    def status(self, name: str) -> int:
        """What is to be told of a name now."""
        if name in {"", SERVICE}:
            fit = self._service.ready()
        else:
            try:
                fit = self._service.model_ready(name)
            except ModelNotFoundError:
                return _UNKNOWN
        found: int = _STATUS.SERVING if fit and not self._ended else _STATUS.NOT_SERVING
        return found

    async def check(self, message: Any, context: Any) -> Any:  # noqa: ANN401  (grpc ships no types)
        """The status of one name; NOT_FOUND where nothing is known of it."""
        name = await _name(message, context)
        found = self.status(name)
        if found == _UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no service or model of this name is known here.")
        return _STATUS(status=found)

    async def watch(self, message: Any, context: Any) -> None:  # noqa: ANN401  (grpc ships no types)
        """The status of one name, and every other one that it comes to have, until the server ends."""
        name = await _name(message, context)
        while True:
            told = self.status(name)
            await context.write(_STATUS(status=told))
            if self._ended:
                return
            await self._change(name, told)

    async def list(self, _: object, __: object) -> Any:  # noqa: ANN401  (grpc ships no types)
        """The status of every name that is there."""
        names = ["", SERVICE, *self._service.repository.names()]
        return health_pb2.HealthListResponse(statuses={name: _STATUS(status=self.status(name)) for name in names})

    def end(self) -> None:
        """Tell those who watch that nothing is served any more, and end their calls."""
        self._ended = True
        self._wake(everybody=True)

    async def _change(self, name: str, told: int) -> None:
        if self._ended or self.status(name) != told:
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = (name, told)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            await waiting
        finally:
            del self._waiting[waiting]

    async def _look(self) -> None:
        """Look at what is watched, for as long as somebody does: a status has many causes and none of them calls."""
        try:
            while self._waiting:
                await asyncio.sleep(_LOOK_S)
                self._wake()
        finally:
            self._looking = None

    def _wake(self, *, everybody: bool = False) -> None:
        for waiting, (name, told) in self._waiting.items():
            if everybody or self.status(name) != told:
                with contextlib.suppress(asyncio.InvalidStateError):  # woken already, or cancelled
                    waiting.set_result(None)


async def _name(message: Any, context: Any) -> str:  # noqa: ANN401  (grpc ships no types)
    if isinstance(message, Unreadable):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is no HealthCheckRequest.")
    name: str = message.service
    return name
