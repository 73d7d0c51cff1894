"""One process of the application: bundles in the server's own service, behind the server's own app."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ....errors import ModelUnavailableError, ServerError
from ...serving.http import create_app
from ...serving.model import ModelOptions
from ...serving.repository import READY, Repository
from ...serving.tokens import TokenKeeper
from .sticky import ReplicaService, with_session

if TYPE_CHECKING:
    from .settings import RaySettings
    from .sticky import App

_LOG = logging.getLogger("rnnx.serve")
_TEND_S = 1.0
_GOING_DOWN = "the replica is going down"


class Replica:
    """Bundles that were loaded and proven, and what answers for them. Use :meth:`open` to get one; close it."""

    def __init__(self, service: ReplicaService, *, name: str, token: str, grace_s: float) -> None:
        """Take over a service; its idle streams are ended from now on.

        Args:
            service: its bundles are loaded.
            name: of this replica.
            token: what clients must bear; empty for nothing.
            grace_s: how long :meth:`close` may wait for requests under way, seconds.
        """
        self.service = service
        self._name = name
        self._token = token
        self._grace_s = grace_s
        self._tending = asyncio.create_task(self._tend())

    @classmethod
    async def open(cls, settings: RaySettings, *, key: bytes, name: str) -> Self:
        """Load the bundles and prove them.

        Args:
            settings: of the application.
            key: of streams' tokens, where no file holds one.
            name: of this replica.

        Raises:
            ModelUnavailableError: a bundle cannot be read or does not give its source's answers here.
            ServerError: a file of a token cannot be read.
        """
        tokens = TokenKeeper(_read(settings.token_key_file) if settings.token_key_file else key)
        token = _token(settings.token_file) if settings.token_file else ""
        paths = {model: Path(path) for model, path in settings.bundles.items()}
        repository = Repository(paths, options=_model_options(settings))
        await repository.load_all()
        failed = [f"'{one['name']}': {one['reason']}" for one in repository.index() if one["state"] != READY]
        if failed:
            await repository.close()
            raise ModelUnavailableError(f"the replica cannot serve {'; '.join(failed)}")
        service = ReplicaService(repository, tokens=tokens, alone=settings.most_replicas == 1)
        return cls(service, name=name, token=token, grace_s=settings.grace_s)

    def app(self) -> App:
        """What answers HTTP and WebSocket."""
        return with_session(create_app(self.service, token=self._token), self._name)

    def check_health(self) -> None:
        """Raise where the replica is to be replaced.

        Raises:
            ModelUnavailableError: a model cannot be used any more.
        """
        if not self.service.ready():
            raise ModelUnavailableError("the replica's models cannot all be used. It is to be replaced.")

    async def close(self) -> None:
        """End the streams with a reason, answer what is under way, free the models."""
        self.service.close_down(_GOING_DOWN)
        self.service.end_streams(_GOING_DOWN)
        self._tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._tending
        await self.service.repository.drain(self._grace_s)
        await self.service.repository.close()

    async def _tend(self) -> None:
        """End idle streams, as long as the replica runs."""
        while True:
            await asyncio.sleep(_TEND_S)
            try:
                await self.service.tend()
            except Exception:  # noqa: BLE001  (one that fails must not end all that follow)
                _LOG.exception("tending failed")


def _model_options(settings: RaySettings) -> ModelOptions:
    return ModelOptions(
        provider=settings.provider,
        precision=settings.precision,
        threads=settings.threads or None,
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        max_streams=settings.max_streams,
        stream_idle_s=settings.stream_idle_s,
    )


def _token(path: str) -> str:
    content = _read(path).strip()
    if not content or any(not 0x21 <= one <= 0x7E for one in content):
        raise ServerError(f"'{path}' must hold one token: printable ASCII letters without spaces.")
    return content.decode("ascii")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ServerError(f"'{path}' cannot be read: {error.strerror}.") from error
