"""What an application of Ray Serve is made from, checked, and its config file."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .... import __version__
from ....atomic import write_atomically
from ....bundle import Bundle
from ....errors import DeployError, DeployExistsError
from ..yaml_text import to_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IMPORT_PATH = "rnnx.runtime.deploy.ray:app_builder"
ROUTER = "rnnx.runtime.deploy.ray.router.StreamRouter"
#: Name of the one deployment of an application.
DEPLOYMENT = "bundles"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class RaySettings:
    """What an application is made from. All of it goes through a config file's ``args``.

    Attributes:
        bundles: path by the name that it is served under; every machine of the cluster must see them there.
        name: of the application.
        replicas: how many processes, always; None where their number follows the load.
        min_replicas: the fewest, where their number follows the load.
        max_replicas: the most, where their number follows the load.
        target_ongoing_requests: at how many requests under way for each replica another one is started.
        num_cpus: cores that Ray counts for each replica.
        num_gpus: GPUs that Ray counts for each replica.
        provider: as for :func:`rnnx.load`.
        precision: as for :func:`rnnx.load`.
        threads: threads within one operator; 0 for one for each core.
        max_batch: most rows of one run.
        max_queue: most requests that wait in a replica; more are refused.
        max_streams: most streams at a time in a replica.
        stream_idle_s: after how many seconds without a chunk a stream ends.
        grace_s: how long a replica may take to end, seconds.
        token_file: holds the token that clients must bear; empty for none.
        token_key_file: holds the key of streams' tokens; empty for one that is made with the application, so that it
            lasts until that is deployed again.
    """

    bundles: Mapping[str, str]
    name: str = "rnnx"
    replicas: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    target_ongoing_requests: float | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    provider: str = "auto"
    precision: str = "auto"
    threads: int = 1
    max_batch: int = 64
    max_queue: int = 256
    max_streams: int = 10_000
    stream_idle_s: float = 60.0
    grace_s: float = 30.0
    token_file: str = ""
    token_key_file: str = ""

    def __post_init__(self) -> None:
        _check_types(self)
        if not self.bundles:
            raise DeployError("no bundle is given. Name one, NAME.rnnx.")
        if not _NAME.match(self.name):
            raise DeployError(
                f"application name '{self.name}' is not allowed: letters, digits, '_', '-' and '.', at most 63. "
                "Give another with --name."
            )
        _check_replicas(self)
        least = {"num_cpus": 0, "num_gpus": 0, "threads": 0, "max_batch": 1, "max_queue": 1, "max_streams": 1}
        for name, bound in (*least.items(), ("grace_s", 0)):
            if getattr(self, name) < bound:
                raise DeployError(f"{name} is {getattr(self, name)}; it must be a number from {bound}.")
        if not self.stream_idle_s > 0:
            raise DeployError(f"stream_idle_s is {self.stream_idle_s}; it must be a number of seconds above 0.")

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> RaySettings:
        """Settings of a config file's ``args``.

        Raises:
            DeployError: one is unknown, missing, of another type or out of its range.
        """
        known = [one.name for one in dataclasses.fields(cls)]
        wrong = sorted(set(args) - set(known))
        if wrong:
            raise DeployError(f"argument '{wrong[0]}' is not known; allowed are {', '.join(known)}.")
        if "bundles" not in args:
            raise DeployError("argument 'bundles' is missing. Write NAME: /path/NAME.rnnx for each.")
        return cls(**args)

    @property
    def most_replicas(self) -> int:
        """How many replicas there may be at a time."""
        return self.max_replicas or self.replicas or 1

    def to_args(self) -> dict[str, Any]:
        """The settings for a config file's ``args``: what is not said is left out."""
        args = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return {name: value for name, value in args.items() if value is not None and value != ""} | {
            "bundles": dict(self.bundles)
        }

    def deployment_options(self) -> dict[str, Any]:
        """The deployment's options, as Ray Serve names them."""
        options: dict[str, Any] = {
            "name": DEPLOYMENT,
            "ray_actor_options": {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus},
            # Never full: a request that is turned away would go to a replica that does not have its stream, or wait
            # before the queue instead of in it. The engine's own queue refuses, at once and with a status that says so.
            "max_ongoing_requests": self.max_streams + 4 * self.max_queue,
            "graceful_shutdown_timeout_s": self.grace_s,
            "request_router_config": {
                "request_router_class": ROUTER,
                "request_router_kwargs": {"num_fallback_replicas": 0},
            },
        }
        if self.max_replicas is None:
            options["num_replicas"] = self.replicas or 1
        else:
            options["autoscaling_config"] = {"min_replicas": self.min_replicas or 1, "max_replicas": self.max_replicas}
            if self.target_ongoing_requests is not None:
                options["autoscaling_config"]["target_ongoing_requests"] = self.target_ongoing_requests
        return options


def check_bundles(settings: RaySettings) -> None:
    """Find a bundle that is none before anything is started.

    Raises:
        BundleError: one cannot be read.
    """
    for path in settings.bundles.values():
        Bundle.open(path)


def config(settings: RaySettings, *, host: str, port: int) -> dict[str, Any]:
    """The config file of ``serve deploy`` as a mapping.

    Args:
        settings: of the application.
        host: address on which each machine's proxy listens.
        port: its port.
    """
    return {
        "http_options": {"host": host, "port": port},
        "applications": [
            {
                "name": settings.name,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": settings.to_args(),
            }
        ],
    }


def write_config(settings: RaySettings, out: Path, *, host: str, port: int, overwrite: bool = False) -> None:
    """Write the config file as YAML, whole or not at all.

    Raises:
        BundleError: a bundle cannot be read here.
        DeployExistsError: something stands at ``out``.
        OSError: it cannot be written there.
    """
    check_bundles(settings)
    if os.path.lexists(out) and (not overwrite or not out.is_file()):
        raise DeployExistsError(f"'{out}' exists already. Choose another name, or replace a file with --force.")
    head = f"# Written by rnnx {__version__}. Deploy it: serve deploy {out.name}\n"
    write_atomically(out, (head + to_yaml(config(settings, host=host, port=port))).encode())


def _check_replicas(settings: RaySettings) -> None:
    names = ("min_replicas", "max_replicas", "target_ongoing_requests")
    said = [name for name in names if getattr(settings, name) is not None]
    if settings.replicas is not None:
        if said:
            raise DeployError(
                f"replicas is a fixed number, and {said[0]} lets it follow the load. Give --replicas, or "
                "--min-replicas and --max-replicas."
            )
        if settings.replicas < 1:
            raise DeployError(f"replicas is {settings.replicas}; it must be a whole number from 1.")
        return
    if not said:
        return
    if settings.max_replicas is None:
        raise DeployError(f"{said[0]} is given without max_replicas. Say how many there may be: --max-replicas.")
    least = 1 if settings.min_replicas is None else settings.min_replicas
    # Not 0: a replica without a request under way may still hold streams.
    if not 1 <= least <= settings.max_replicas:
        raise DeployError(
            f"min_replicas is {least} and max_replicas {settings.max_replicas}; they must be 1 <= min <= max."
        )
    if settings.target_ongoing_requests is not None and not settings.target_ongoing_requests > 0:
        raise DeployError(f"target_ongoing_requests is {settings.target_ongoing_requests}; it must be above 0.")


def _check_types(settings: RaySettings) -> None:
    """A config file may hold anything anywhere."""
    for one in dataclasses.fields(settings):
        value, kind = getattr(settings, one.name), str(one.type)
        if value is None and "None" in kind:
            continue
        if "Mapping" in kind:
            good = isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair)
        elif kind == "str":
            good = isinstance(value, str)
        else:
            kinds = (int, float) if "float" in kind else (int,)
            good = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
        if not good:
            raise DeployError(f"argument '{one.name}' is {value!r}; it must be of type {kind}.")
