"""The gRPC server: what it listens on, what it allows, and its end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from ....errors import ServerError
from ..protocol.proto import inference_pb2 as pb
from . import health
from .calls import StreamCalls
from .gate import Gate
from .servicer import Servicer

if TYPE_CHECKING:
    from ..service import Service

_CLOSING = "the server is shutting down. Ask another server."
_MINUTE_MS = 60_000
#: How long new calls are refused before grpc shuts down, seconds: those that it has not handed over yet when it does
#: are cancelled, which tells their clients nothing.
_LINGER_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class CallLimits:
    """How many calls there may be, and for how long; sizes are the service's ``Limits``.

    Attributes:
        calls: calls at a time; more are refused with RESOURCE_EXHAUSTED.
        calls_of_one: calls at a time of one connection; more wait at the client.
        in_flight: requests of one ModelStreamInfer that are read and not answered yet; more wait at the client.
        idle_s: after how many seconds without a request a ModelStreamInfer ends.
        ping_s: how often a client may send keepalive pings, seconds; one that goes on more often is disconnected.
    """

    calls: int = 10_000
    calls_of_one: int = 1024
    in_flight: int = 16
    idle_s: float = 600.0
    ping_s: float = 10.0


class GrpcServer:
    """A server that listens; made by :func:`start_grpc`.

    Attributes:
        port: the port.
    """

    def __init__(self, server: Any, port: int, gate: Gate, streams: StreamCalls, watches: health.Health) -> None:  # noqa: ANN401
        """Take over a server that was started."""
        self.port = port
        self._server = server
        self._gate = gate
        self._streams = streams
        self._watches = watches

    async def stop(self, grace_s: float) -> None:
        """Begin nothing new, answer what was begun, and stop listening.

        New calls are refused with UNAVAILABLE; a ModelStreamInfer ends with UNAVAILABLE behind the answers to what
        was read of it; those who watch the health are told NOT_SERVING. What is left after the grace time is cut off.

        Args:
            grace_s: how long answers may take, seconds.
        """
        self._gate.closing = _CLOSING
        self._watches.end()
        self._streams.end(_CLOSING)
        linger_s = min(_LINGER_S, grace_s / 2)
        await asyncio.sleep(linger_s)
        await self._server.stop(grace_s - linger_s)


async def start_grpc(
    service: Service,
    host: str,
    port: int,
    *,
    token: str = "",
    tls: tuple[bytes, bytes] | None = None,
    limits: CallLimits | None = None,
) -> GrpcServer:
    """Listen in the running event loop.

    Args:
        service: what answers.
        host: address to listen on.
        port: port; 0 for a free one.
        token: what clients must bear (``authorization: Bearer TOKEN``), but for health; empty for nothing.
        tls: certificate chain and key, PEM; None for no TLS.
        limits: how many calls there may be.

    Raises:
        ServerError: the address is in use or not of this machine, or the certificate and key cannot be used.
    """
    limits = CallLimits() if limits is None else limits
    gate = Gate(token=token, traced=service.tracing.on)
    streams = StreamCalls(service, in_flight=limits.in_flight, idle_s=limits.idle_s)
    watches = health.Health(service)
    server = grpc.aio.server(
        interceptors=[gate], options=_options(service, limits), maximum_concurrent_rpcs=limits.calls
    )
    server.add_generic_rpc_handlers((Servicer(service, streams).handlers(), watches.handlers()))
    names = [health.SERVICE, health.NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server, pool=_described())
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if tls is None:
            bound = server.add_insecure_port(address)
        else:
            certificate, key = tls
            bound = server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    except RuntimeError as error:
        raise ServerError(
            f"port {port} of '{host}' cannot be listened on for gRPC{'' if tls is None else ' with TLS'}: {error}. "
            "Choose another one with --grpc-port, or 0 for a free one."
        ) from error
    await server.start()
    return GrpcServer(server, bound, gate, streams, watches)


def _options(service: Service, limits: CallLimits) -> list[tuple[str, int]]:
    """What grpc's core is told; https://grpc.github.io/grpc/core/group__grpc__arg__keys.html."""
    sizes = service.limits
    return [
        ("grpc.so_reuseport", 0),  # else a second server would quietly share the port
        ("grpc.max_receive_message_length", sizes.body_bytes),
        ("grpc.max_send_message_length", -1),  # an answer's size follows from its request's, which is bounded
        ("grpc.max_metadata_size", sizes.header_bytes),
        ("grpc.absolute_max_metadata_size", sizes.header_bytes),
        ("grpc.max_concurrent_streams", limits.calls_of_one),
        ("grpc.http2.min_ping_interval_without_data_ms", round(limits.ping_s * 1e3)),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.keepalive_permit_without_calls", 1),
        # A client whose machine went away is found out, and its calls end.
        ("grpc.keepalive_time_ms", _MINUTE_MS),
        ("grpc.keepalive_timeout_ms", _MINUTE_MS // 3),
        ("grpc.max_connection_idle_ms", 10 * _MINUTE_MS),
    ]


def _described() -> DescriptorPool:
    """What reflection tells of: every service here, in a pool that has nothing else."""
    pool = DescriptorPool()
    for module in (pb, health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
