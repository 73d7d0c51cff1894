"""The application of Ray Serve, and running it on this machine until a signal comes."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
from typing import TYPE_CHECKING, Any

from ....errors import DeployError, MissingExtraError
from ...serving.listening import bound
from .settings import check_bundles

try:
    import ray
    from ray import serve

    from .replica import Replica
except ModuleNotFoundError as error:
    if (error.name or "").startswith(__package__.partition(".")[0]):
        raise  # a fault of our own
    raise MissingExtraError(
        f"Ray Serve needs packages that are not installed ({error}). Run: pip install 'rnnx[ray]'."
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .settings import RaySettings
    from .sticky import App

_KEY_BYTES = 32


class RayReplica:
    """A replica as Ray Serve makes, checks and ends it. The names are Ray's."""

    async def __init__(self, settings: RaySettings, key: bytes) -> None:  # type: ignore[misc]  # Ray awaits it
        self._replica = await Replica.open(settings, key=key, name=serve.get_replica_context().replica_tag)

    def __serve_build_asgi_app__(self) -> App:
        """What answers HTTP and WebSocket; Ray Serve asks for it once."""
        return self._replica.app()

    async def check_health(self) -> None:
        """Ray Serve asks now and then, and replaces the replica where this raises."""
        self._replica.check_health()

    async def __del__(self) -> None:
        """Ray Serve awaits it when requests under way are answered, or the grace time is over."""
        if hasattr(self, "_replica"):
            await self._replica.close()


def build(settings: RaySettings) -> Any:  # noqa: ANN401  (a ray.serve.Application; ray has no types)
    """The application, to be given to ``ray.serve.run``."""
    # Made here, once for all replicas: a token of one must be good in the others.
    key = b"" if settings.token_key_file else secrets.token_bytes(_KEY_BYTES)
    deployment = serve.deployment(serve.ingress()(RayReplica), **settings.deployment_options())
    return deployment.bind(settings, key)


def serve_here(
    settings: RaySettings,
    *,
    host: str,
    port: int,
    announce: Callable[[str], None],
    object_store_bytes: int | None = None,
) -> None:
    """Start a Ray of our own on this machine, run the application in it, and end both on SIGTERM or SIGINT.

    Args:
        settings: of the application.
        host: address to listen on.
        port: of HTTP.
        announce: is given one line when requests are answered.
        object_store_bytes: how much memory Ray may share between processes; None for Ray's own choice.

    Raises:
        BundleError: a bundle cannot be read.
        ServerError: the address cannot be listened on.
        DeployError: the machine has too few cores or GPUs, or the application does not start.
    """
    check_bundles(settings)
    bound(host, port).close()  # Ray would say it late and in many lines
    stop = threading.Event()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unasked
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=object_store_bytes,
    )
    try:
        _check_resources(settings)
        serve.start(http_options={"host": host, "port": port, "location": "HeadOnly"})
        with _stopped_by_signals(stop):
            try:
                serve.run(build(settings), name=settings.name, route_prefix="/")
            except RuntimeError as error:
                raise DeployError(f"the application does not start: {error}") from error
            announce(f"rnnx serves http://{f'[{host}]' if ':' in host else host}:{port}")
            stop.wait()
    finally:
        serve.shutdown()
        ray.shutdown()


def _check_resources(settings: RaySettings) -> None:
    """Ray would wait for what is not there, for ever."""
    least = settings.min_replicas or settings.replicas or 1
    there = ray.cluster_resources()
    for name, each in (("CPU", settings.num_cpus), ("GPU", settings.num_gpus)):
        wanted, found = least * each, there.get(name, 0.0)
        if wanted > found:
            raise DeployError(
                f"{least} replicas of {each:g} {name} each need {wanted:g}, and this machine has {found:g}. Give fewer "
                f"--replicas or a smaller --num-{name.lower()}s, such as 0.5; or write a config file with -o and "
                "deploy it on a cluster."
            )


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
