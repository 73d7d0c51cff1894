"""What a server listens with: a bound socket, uvicorn, grpc.aio, TLS; each wrong address is said in plain words."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtraError, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .service import Service

    #: Files of a certificate chain and of its key, PEM.
    Tls = tuple[Path, Path]

_BACKLOG = 2048


def make_uvicorn(service: Service, *, token: str, tls: Tls | None, open_metrics: bool = False) -> Any:  # noqa: ANN401  (a class made here)
    """A server of uvicorn that leaves signals to ours.

    Args:
        service: what answers.
        token: what clients must bear; empty for nothing.
        tls: files of a certificate chain and its key; None for no TLS.
        open_metrics: whether ``/metrics`` asks for no token.

    Raises:
        MissingExtraError: uvicorn or starlette is not installed.
    """
    try:
        import uvicorn  # noqa: PLC0415  (an extra)

        from .http import HttpOptions, create_app, uvicorn_options  # noqa: PLC0415
    except ImportError as error:
        raise _missing(error, "serve") from error

    class Uvicorn(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    options = HttpOptions(open_metrics=open_metrics)
    config = uvicorn.Config(
        create_app(service, token=token, options=options),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        ssl_certfile=None if tls is None else tls[0],
        ssl_keyfile=None if tls is None else tls[1],
        **uvicorn_options(service, options, token=token),
    )
    config.load()
    return Uvicorn(config)


async def open_grpc(service: Service, host: str, port: int, *, token: str, tls: Tls | None) -> Any:  # noqa: ANN401  (the transport's handle: ``port`` and ``stop(grace_s)``)
    """The gRPC transport, listening.

    Raises:
        MissingExtraError: grpcio is not installed.
        ServerError: the address cannot be listened on.
    """
    try:
        from .grpc import start_grpc  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise _missing(error, "grpc") from error
    read = None if tls is None else (tls[0].read_bytes(), tls[1].read_bytes())
    return await start_grpc(service, host, port, token=token, tls=read)


def _missing(error: ImportError, extra: str) -> MissingExtraError:
    if isinstance(error, MissingExtraError):
        return error
    return MissingExtraError(
        f"'rnnx serve' needs packages that are not installed ({error}). Run: pip install 'rnnx[serve,grpc]', "
        f"or leave this transport out with --no-{'http' if extra == 'serve' else 'grpc'}."
    )


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ServerError: the address is not one, or is in use.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = infos[0]
        found = socket.socket(family, kind)
    except OSError as error:
        raise ServerError(f"host '{host}' cannot be listened on: {error}. Give an address of this machine.") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        # At once, so that a second server on this port is refused here and not somewhere in uvicorn.
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise ServerError(
            f"port {port} of '{host}' cannot be listened on: {error.strerror}. Choose another one with --http-port, "
            "or 0 for a free one."
        ) from error
    return found


def checked_tls(cert: Path | None, key: Path | None) -> Tls | None:
    """Files of a certificate chain and its key, after they were found to fit; None for no TLS.

    Raises:
        ServerError: one is missing, or they cannot be used.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise ServerError("TLS needs a certificate and its key: give both --tls-cert and --tls-key.")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ServerError(
            f"the certificate '{cert}' with the key '{key}' cannot be used: {error}. Give PEM files that belong "
            "together."
        ) from error
    return cert, key


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
