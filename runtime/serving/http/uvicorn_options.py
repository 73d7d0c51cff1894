"""Settings of uvicorn under which every connection keeps to the limits of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .bearing import Bearer
from .connections import BoundedWebSocket
from .crowds import Turned, TurningAway
from .options import HttpOptions

if TYPE_CHECKING:
    from ..service import Service


def uvicorn_options(service: Service, options: HttpOptions | None = None, *, token: str = "") -> dict[str, Any]:
    """Settings of ``uvicorn.Config`` that hold the service's limits on every connection.

    Args:
        service: whose limits.
        options: HTTP's own.
        token: what clients must bear, ASCII; empty for nothing.
    """
    options = HttpOptions() if options is None else options
    bounds = {
        "service": service,
        "head_bytes": service.limits.header_bytes,
        "head_s": options.head_s,
        "body_s": options.body_s,
        "write_s": options.write_s,
        "turned": Turned(options.refusal_pause_s),
        "bearer": Bearer(token),
    }
    return {
        "http": type("BoundedHttp", (TurningAway,), bounds),
        "ws": type("BoundedWebSocket", (BoundedWebSocket,), {"write_s": options.write_s}),
        "timeout_keep_alive": options.keep_alive_s,
        "ws_max_size": min(service.limits.body_bytes, options.message_bytes),
        # Numbers hardly get smaller, and each connection would hold windows of its own.
        "ws_per_message_deflate": False,
    }
