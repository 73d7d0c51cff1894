"""``rnnx serve`` as a process on free ports of loopback, watched from outside and stopped by its own number."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_START_S = 60.0
_STOP_S = 60.0
_LOOK_S = 0.05
_MIB = 1 << 20


class ServerProcess:
    """A server of one bundle; a context manager that kills what is left of it.

    Attributes:
        http: port of HTTP and WebSocket.
        grpc: port of gRPC.
        pid: number of the process.
    """

    def __init__(self, bundle: Path, folder: Path, *options: str) -> None:
        """Start it and wait until its models are proven.

        Args:
            bundle: what it serves.
            folder: where it writes its ports and its log.
            options: more of the command line.

        Raises:
            click.ClickException: it does not start, or does not become ready.
        """
        self._folder = folder
        ports = folder / "ports.json"
        given = [str(bundle), "--provider", "cpu", "--http-port", "0", "--grpc-port", "0", "--ports-file", str(ports)]
        command = [sys.executable, "-m", "rnnx", "serve", *given, "--log-level", "warning", *options]
        with (folder / "log.txt").open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603  (our own)
        self.pid = self._process.pid
        try:
            self._wait(ports.exists, "listen")
            found = json.loads(ports.read_text(encoding="utf-8"))
            self.http, self.grpc = int(found["http"]), int(found["grpc"])
            self._wait(lambda: self.get("/v2/health/ready")[0] == 200, "become ready")
        except BaseException:
            self.kill()
            raise

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """The sum of one metric over all models.

        Raises:
            click.ClickException: it is not told.
        """
        lines = self.get("/metrics")[1].decode().splitlines()
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        if not values:
            raise click.ClickException(f"the server tells no metric '{name}'.")
        return sum(values)

    def rss_mib(self) -> float:
        """Memory of the process that is in use, MiB.

        Raises:
            click.ClickException: the process has ended.
        """
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except OSError as error:
            raise click.ClickException(f"the server's memory cannot be read: {error}. Is this Linux?") from error
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / _MIB

    def stop(self) -> int:
        """Send SIGTERM; the exit code.

        Raises:
            click.ClickException: it does not end.
        """
        self._process.terminate()
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            raise click.ClickException(f"the server did not end within {_STOP_S:g} s. {self.log()}") from None

    def kill(self) -> None:
        """End it whatever it does; nothing where it has ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def log_text(self) -> str:
        """What it has logged."""
        return (self._folder / "log.txt").read_text(encoding="utf-8")

    def log(self) -> str:
        """The last lines of its log."""
        return self.log_text()[-2000:]

    def __enter__(self) -> Self:
        """This server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        self.kill()

    def _wait(self, holds: Callable[[], bool], verb: str) -> None:
        until = time.monotonic() + _START_S
        while not holds():
            if self._process.poll() is not None or time.monotonic() > until:
                raise click.ClickException(f"the server did not {verb}: {self.log()}")
            time.sleep(_LOOK_S)


class Memory:
    """Samples a server's memory from a thread; a context manager.

    Attributes:
        samples: seconds since the beginning and MiB, in order.
    """

    def __init__(self, server: ServerProcess, *, every_s: float) -> None:
        """Sample so often, from when it is entered."""
        self.samples: list[tuple[float, float]] = []
        self._server, self._every_s = server, every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._begun = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        self._begun = time.monotonic()
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the last sample."""
        self._ending.set()
        self._thread.join()
        self._sample()

    @property
    def most_mib(self) -> float:
        """The largest sample."""
        return max(mib for _, mib in self.samples)

    def slope(self, after_s: float) -> float:
        """MiB per minute by least squares over the samples after so many seconds; 0.0 for fewer than two.

        The slope is ``sum((t - mean t)(m - mean m)) / sum((t - mean t)^2)``.
        """
        late = [(at, mib) for at, mib in self.samples if at >= after_s]
        if len(late) < 2:
            return 0.0
        mean_at = sum(at for at, _ in late) / len(late)
        mean_mib = sum(mib for _, mib in late) / len(late)
        spread = sum((at - mean_at) ** 2 for at, _ in late)
        return 60.0 * sum((at - mean_at) * (mib - mean_mib) for at, mib in late) / spread if spread else 0.0

    def _sample(self) -> None:
        self.samples.append((time.monotonic() - self._begun, self._server.rss_mib()))

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            self._sample()
