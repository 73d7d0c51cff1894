"""One process that serves: uvicorn and grpc.aio in one event loop, from the first port to the last answer.

The end: on SIGTERM or SIGINT the server is not ready at once; after a delay, in which balancers find that out, streams
are closed with a reason and nothing new is accepted; what was accepted is answered within the grace time; then the
process ends. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import ServerError
from .listening import bound, checked_tls, is_loopback, make_uvicorn, open_grpc
from .logs import log_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .service import Service

#: How long connections that are kept alive are asked to close by themselves, before they are closed, seconds.
_FAREWELL_S = 0.25
_LOOK_S = 0.02


#: New objects, and collections of the generation below, before the garbage collector looks through a generation.
_GC_THRESHOLD = (10_000, 20, 20)

#: How long a thread keeps the interpreter while another one waits for it, seconds. By default it is 5 ms, for which an
#: engine whose run has ended would wait for the event loop.
_SWITCH_S = 0.0005


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """Where and how a server listens, and how it ends.

    Attributes:
        host: address to listen on.
        http_port: port of HTTP and WebSocket; 0 for a free one, None for none.
        grpc_port: port of gRPC; 0 for a free one, None for none.
        token: what clients must bear (``authorization: Bearer TOKEN``); empty for nothing.
        open_metrics: whether ``/metrics`` asks for no token.
        tls_cert: certificate chain, PEM; None for no TLS.
        tls_key: its key, PEM.
        grace_s: how long what was accepted may take to be answered at the end, seconds.
        not_ready_delay_s: how long the server is not ready and answers all the same, before it closes, seconds.
        reload_s: how often bundles are looked at for changes, seconds; None for never.
        ports_file: where the ports are written as JSON once they listen, and removed at the end.
    """

    host: str = "127.0.0.1"
    http_port: int | None = 8000
    grpc_port: int | None = 8001
    token: str = ""
    open_metrics: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    grace_s: float = 30.0
    not_ready_delay_s: float = 0.0
    reload_s: float | None = None
    ports_file: Path | None = None


def run_server(service: Service, options: ServerOptions, announce: Callable[[str], None]) -> int:
    """Serve until a signal comes, in an event loop of its own.

    Args:
        service: what answers.
        options: where and how.
        announce: is given one line with the ports when they listen.

    Returns:
        The exit code: 0 where everything that was accepted was answered.

    Raises:
        ServerError: an address cannot be listened on, or a certificate cannot be read.
        MissingExtraError: a package is not installed.
    """
    factory = None
    with contextlib.suppress(ImportError):  # brought by the extra `serve`, except where it does not exist
        import uvloop  # noqa: PLC0415

        factory = uvloop.new_event_loop
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(Server(service, options).run(announce))
    finally:
        sys.setswitchinterval(switch_s)


class Server:
    """The transports of one service, and their life."""

    def __init__(self, service: Service, options: ServerOptions) -> None:
        """Prepare a server; :meth:`run` runs it, once.

        Raises:
            ServerError: no transport is left, or the TLS files cannot be used.
        """
        if options.http_port is None and options.grpc_port is None:
            raise ServerError("neither HTTP nor gRPC is to be served. Leave out --no-http or --no-grpc.")
        self._tls = checked_tls(options.tls_cert, options.tls_key)
        if options.ports_file is not None and not options.ports_file.absolute().parent.is_dir():
            raise ServerError(
                f"--ports-file '{options.ports_file}' cannot be written: there is no such folder. Make it."
            )
        self.service = service
        self.options = options
        #: Ports by transport, ``http`` and ``grpc``, once they listen.
        self.ports: dict[str, int] = {}
        self._stopping = asyncio.Event()
        self._signals = 0
        self._http: Any = None
        self._grpc: Any = None

    async def run(self, announce: Callable[[str], None]) -> int:
        """Serve until :meth:`stop` or a signal; the exit code."""
        with self._handling_signals():
            serving = await self._listen()
            loading = asyncio.create_task(self.service.repository.load_all())
            tending = asyncio.create_task(self._tend(loading))
            try:
                self._tell(announce)
                waiting = asyncio.create_task(self._stopping.wait())
                await asyncio.wait({waiting, *serving}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                return await self._go_down(serving, loading)
            finally:
                tending.cancel()
                if self.options.ports_file is not None:
                    self.options.ports_file.unlink(missing_ok=True)

    def stop(self) -> None:
        """Begin the end, as a first signal does."""
        self._stopping.set()

    async def _listen(self) -> set[asyncio.Task[None]]:
        """Open the transports; the tasks that run them."""
        options, serving = self.options, set()
        if options.http_port is not None:
            listening = bound(options.host, options.http_port)
            self.ports["http"] = listening.getsockname()[1]
            try:
                self._http = make_uvicorn(
                    self.service, token=options.token, tls=self._tls, open_metrics=options.open_metrics
                )
            except BaseException:
                listening.close()
                raise
            serving.add(asyncio.create_task(self._http.serve(sockets=[listening])))
        try:
            if options.grpc_port is not None:
                self._grpc = await open_grpc(
                    self.service, options.host, options.grpc_port, token=options.token, tls=self._tls
                )
                self.ports["grpc"] = self._grpc.port
            for task in serving:
                await self._http_started(task)
        except BaseException:
            await self._stop_http(serving, 0.0)
            raise
        return serving

    async def _http_started(self, serving: asyncio.Task[None]) -> None:
        """Wait until uvicorn accepts connections; ServerError, or its own error, where it does not come to that."""
        while not self._http.started:
            if serving.done():
                serving.result()
                raise ServerError("uvicorn ended before it listened. Its lines in the log say why.")
            await asyncio.sleep(0)  # it has no event to wait for

    def _tell(self, announce: Callable[[str], None]) -> None:
        """One line with the ports, the file of ports, and a warning where everybody can come."""
        options = self.options
        host = f"[{options.host}]" if ":" in options.host else options.host
        ending = "s" if options.tls_cert else ""
        schemes = {"http": f"http{ending}", "grpc": f"grpc{ending}"}
        announce("rnnx serves " + " ".join(f"{schemes[name]}://{host}:{port}" for name, port in self.ports.items()))
        if options.ports_file is not None:
            temporary = options.ports_file.with_name(f"{options.ports_file.name}.{os.getpid()}")
            temporary.write_text(json.dumps({"pid": os.getpid(), **self.ports}) + "\n", encoding="utf-8")
            temporary.replace(options.ports_file)
        if not options.token and not is_loopback(options.host):
            log_event(
                "anybody who reaches this address may use the server: give --token-file, or listen on 127.0.0.1",
                level=logging.WARNING,
                host=options.host,
            )

    async def _tend(self, loading: asyncio.Task[None]) -> None:
        """What must be done now and then, as long as the server runs."""
        await asyncio.shield(loading)
        log_event("models loaded", ready=self.service.ready(), models=", ".join(self.service.repository.names()))
        # Everything that is there now stays: modules, models. Looking through it for garbage again and again took a
        # tenth of the event loop's time. What a request makes goes by its counts of references, so the collector may
        # look more rarely: every 700 new objects, its default, is every few requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLD)
        period_s = min(1.0, self.options.reload_s or 1.0)
        looked = time.monotonic()
        while True:
            await asyncio.sleep(period_s)
            try:
                await self.service.tend()
                if self.options.reload_s is not None and time.monotonic() - looked >= self.options.reload_s:
                    looked = time.monotonic()
                    await self.service.repository.reload_changed()
            except Exception:
                # One that fails, for a disk that is away, must not end all that follow.
                log_event("tending failed", level=logging.ERROR)
                logging.getLogger("rnnx.serve").exception("tending failed")

    async def _go_down(self, serving: set[asyncio.Task[None]], loading: asyncio.Task[None]) -> int:
        """The end, in order; the exit code."""
        options, service = self.options, self.service
        service.close_down("the server is going down")
        log_event("going down", grace_s=options.grace_s, delay_s=options.not_ready_delay_s)
        await asyncio.sleep(options.not_ready_delay_s)
        until = time.monotonic() + options.grace_s
        service.end_streams("the server is going down")
        stopping = [] if self._grpc is None else [asyncio.create_task(self._grpc.stop(options.grace_s))]
        self._refuse_connections()
        drained = await service.repository.drain(options.grace_s)
        await self._stop_http(serving, _until(until))
        if stopping:
            await asyncio.wait(stopping, timeout=_until(until) + 1.0)
        ended = [*serving, *stopping]
        # Threads that load or run a model, or send spans nobody takes, cannot be stopped, and a process waits for its
        # threads: where they do not end in time, it is ended without them.
        if not drained:
            log_event("ended before everything was answered", level=logging.ERROR, grace_s=options.grace_s)
            self._exit_at_once(1)
        ending = asyncio.create_task(self._free(loading))
        if not (await asyncio.wait({ending}, timeout=_until(until) + 1.0))[0]:
            log_event("ended while a model was being loaded, or spans were being sent", level=logging.WARNING)
            self._exit_at_once(0)
        ending.result()
        failed = [str(error) for error in (task.exception() for task in ended if task.done()) if error is not None]
        if failed:
            log_event("a transport failed", level=logging.ERROR, reason=failed[0])
        log_event("ended", drained=drained)
        return 0 if drained and not failed else 1

    async def _free(self, loading: asyncio.Task[None]) -> None:
        """Free the models and send what spans there are."""
        await loading
        await self.service.repository.close()
        await asyncio.to_thread(self.service.tracing.close)

    def _refuse_connections(self) -> None:
        """Accept no connections of HTTP, and let those that are there end with their next answer."""
        server = self._http
        if server is None:
            return
        # What is answered from now on says "connection: close", so that its client does not send another request on a
        # connection that is closed meanwhile.
        closing = (b"connection", b"close")
        server.config.encoded_headers = [*server.config.encoded_headers, closing]
        server.server_state.default_headers = [*server.server_state.default_headers, closing]
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                # It took its headers when its request came; uvicorn then only notes that it is the last.
                connection.shutdown()

    async def _stop_http(self, serving: set[asyncio.Task[None]], grace_s: float) -> None:
        """Let connections of HTTP end by themselves for a moment, then close the rest."""
        server = self._http
        if server is None:
            return
        until = time.monotonic() + min(_FAREWELL_S, grace_s)
        while server.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110  (uvicorn has no event)
            await asyncio.sleep(_LOOK_S)
        server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        server.should_exit = True
        await asyncio.wait(serving)

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        names = (signal.SIGTERM, signal.SIGINT)
        for one in names:
            loop.add_signal_handler(one, self._on_signal, one)
        try:
            yield
        finally:
            for one in names:
                loop.remove_signal_handler(one)

    def _on_signal(self, number: signal.Signals) -> None:
        self._signals += 1
        if self._signals > 1:
            self._exit_at_once(128 + number)
        self.stop()

    def _exit_at_once(self, code: int) -> None:
        if self.options.ports_file is not None:
            with contextlib.suppress(OSError):
                self.options.ports_file.unlink(missing_ok=True)
        for handler in logging.getLogger("rnnx.serve").handlers:
            handler.close()
        os._exit(code)


def _until(moment: float) -> float:
    """Seconds that are left, from 0."""
    return max(0.0, moment - time.monotonic())
