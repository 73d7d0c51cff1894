"""Models by name: loaded, unloaded, reloaded beside the old one, and what the index says of them.

States are those of the v2 extension "model repository": ``READY``, ``LOADING``, ``UNLOADING``, ``UNAVAILABLE``.
A request names a model, never a path: only bundles that the server was started with, or that lie in its repository's
folder, can be loaded. Everything here runs in the event loop's thread, but for loading and closing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import InputError, ModelNotFoundError, ModelUnavailableError, RnnxError, ServerError
from ...manifest import MANIFEST
from .logs import log_event
from .metrics import Metrics
from .model import SUFFIX, VERSION, ModelOptions, ServedModel
from .watching import look_at, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

READY, LOADING, UNLOADING, UNAVAILABLE = "READY", "LOADING", "UNLOADING", "UNAVAILABLE"
ENDING = ".rnnx"
_CLOSE_TRIES_S = 0.02


@dataclass(slots=True)
class _Retiring:
    """A model that takes nothing new and is closed when nothing uses it.

    Attributes:
        model: the model.
        until: when its streams are ended, seconds of the clock.
        reason: why, for those that still use it then.
    """

    model: ServedModel
    until: float
    reason: str


@dataclass(slots=True)
class _Entry:
    """What is known of one name."""

    name: str
    path: Path
    state: str = UNAVAILABLE
    reason: str = "not loaded"
    wanted: bool = False
    model: ServedModel | None = None
    retiring: list[_Retiring] = field(default_factory=list)
    #: What the folder looked like when it was loaded or refused last, and when it was looked at last.
    tried: object = None
    seen: object = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """A model as a request names it.

    Attributes:
        name: the name it is served under.
        model: the bundle behind it.
        carried: whether it is the one whose states the client carries.
    """

    name: str
    model: ServedModel
    carried: bool


class Repository:
    """Every model of a server."""

    def __init__(
        self,
        bundles: Mapping[str, Path],
        *,
        folder: Path | None = None,
        options: ModelOptions | None = None,
        metrics: Metrics | None = None,
        stream_grace_s: float = 300.0,
        loader: Callable[[str, Path, ModelOptions], ServedModel] = ServedModel.load,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Note what may be loaded; :meth:`load` loads it.

        Args:
            bundles: path by name; these are wanted, so the server is ready when all of them are.
            folder: a folder of bundles ``NAME.rnnx``, which can be loaded by name.
            options: how they are served.
            metrics: where they are counted.
            stream_grace_s: how long streams of a model that was replaced or unloaded may go on, seconds.
            loader: loads one, in a thread.
            clock: seconds.

        Raises:
            ServerError: a name cannot be a model's.
        """
        for name in bundles:
            check_name(name)
        self.metrics = Metrics() if metrics is None else metrics
        self.metrics.streams = self._streams
        self._options = ModelOptions() if options is None else options
        self._folder = folder
        self._grace_s = stream_grace_s
        self._loader = loader
        self._clock = clock
        self._entries = {name: _Entry(name=name, path=path, wanted=True) for name, path in bundles.items()}
        self._changing = asyncio.Lock()
        self._scan()

    def find(self, name: str, version: str = "") -> Face:
        """The model that a request names.

        Raises:
            ModelNotFoundError: there is none of this name or version.
            ModelUnavailableError: there is, and it is not loaded.
        """
        entry = self._entries.get(name)
        carried = entry is None and name.endswith(SUFFIX)
        if carried:
            entry = self._entries.get(name.removesuffix(SUFFIX))
        if entry is None or (version and version != VERSION):
            raise self._unknown(name, version)
        model = entry.model
        if model is None:
            raise ModelUnavailableError(f"model '{entry.name}' is {entry.state}: {entry.reason}")
        if carried and not model.carried:
            why = (
                "it has no streaming variant"
                if model.streaming is None
                else "some of its frames wait for others, and those are no tensors that a client could carry. Use "
                f"sequence_id with '{entry.name}', or the WebSocket and its tokens"
            )
            raise ModelNotFoundError(f"model '{name}' is not served: {why}.")
        return Face(name=name, model=model, carried=carried)

    def retiring(self, name: str) -> list[ServedModel]:
        """Models of this name that were replaced and still hold streams."""
        entry = self._entries.get(name)
        return [] if entry is None else [one.model for one in entry.retiring]

    def ready(self) -> bool:
        """Whether every wanted model can be used."""
        return all(entry.model is not None for entry in self._entries.values() if entry.wanted)

    def faces(self) -> list[Face]:
        """Models that can be used, as requests name them."""
        found = []
        for entry in self._entries.values():
            model = entry.model
            if model is not None:
                found.append(Face(name=entry.name, model=model, carried=False))
                found += [Face(name=entry.name + SUFFIX, model=model, carried=True)] if model.carried else []
        return found

    def names(self) -> list[str]:
        """Names of the models that can be used."""
        return [face.name for face in self.faces()]

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Name, version, state and reason of every model; those that can be used only, where ``ready``."""
        self._scan()
        rows = []
        for entry in self._entries.values():
            if ready and entry.state != READY:
                continue
            carried = entry.model is not None and entry.model.carried
            told = {"version": VERSION, "state": entry.state, "reason": entry.reason}
            rows += [{"name": name, **told} for name in (entry.name, *([entry.name + SUFFIX] if carried else []))]
        return rows

    async def load(self, name: str) -> None:
        """Load a model, or load it again; the old one answers until the new one is proven.

        Raises:
            ModelNotFoundError: no bundle of this name was named to the server.
            RnnxError: as :meth:`ServedModel.load`; the model that was there goes on.
        """
        self._scan()
        entry = self._entries.get(name)
        if entry is None:
            raise self._unknown(name, "")
        async with self._changing:
            await self._load(entry)
            entry.wanted = True

    async def load_all(self) -> None:
        """Load every wanted model; what cannot be loaded is said in the index and in the log."""
        for entry in list(self._entries.values()):
            if entry.wanted:
                with contextlib.suppress(RnnxError):
                    async with self._changing:
                        await self._load(entry)

    async def unload(self, name: str) -> None:
        """Take no more requests for a model; those that are under way end well, its streams may for the grace time.

        Raises:
            ModelNotFoundError: there is no such model.
            InputError: it is not loaded.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise self._unknown(name, "")
        async with self._changing:
            if entry.model is None:
                raise InputError(f"model '{name}' is not loaded: {entry.state}, {entry.reason}.")
            self._retire(entry, entry.model, f"model '{name}' was unloaded")
            entry.model, entry.wanted = None, False
            entry.state, entry.reason = UNLOADING, "unloaded; requests under way end"
            log_event("model unloaded", model=name)
        await self.tidy()

    async def reload_changed(self) -> None:
        """Load every bundle again that was changed since it was loaded or refused, and that has come to rest.

        A folder that looks otherwise than at the last call is still being copied; it is loaded at the next call.
        """
        for entry in list(self._entries.values()):
            look = await asyncio.to_thread(look_at, entry.path)
            settled, entry.seen = look == entry.seen, look
            if look is None or look == entry.tried or not settled or not (entry.wanted or entry.model):
                continue
            if entry.model is not None and await asyncio.to_thread(sha256_of, entry.path) == entry.model.bundle.sha256:
                entry.tried = look  # the same bundle, copied over itself
                continue
            with contextlib.suppress(RnnxError):
                async with self._changing:
                    await self._load(entry)

    async def tidy(self) -> None:
        """End streams that idled, and close models that nothing uses any more."""
        for model in self._models():
            if model.table is not None:
                model.table.expire()
        for entry in list(self._entries.values()):
            for one in list(entry.retiring):
                if one not in entry.retiring:
                    continue  # another call closed it while this one waited
                table = one.model.table
                if table is not None and len(table) and self._clock() >= one.until:
                    table.end_all(one.reason)
                if not one.model.users and (table is None or not len(table)):
                    entry.retiring.remove(one)
                    await asyncio.to_thread(one.model.close)
                    log_event("model closed", level=logging.DEBUG, model=entry.name, sha256=one.model.bundle.sha256)
            if entry.state == UNLOADING and not entry.retiring:
                entry.state, entry.reason = UNAVAILABLE, "unloaded"

    def end_streams(self, reason: str) -> None:
        """End every stream of every model."""
        for model in self._models():
            if model.table is not None:
                model.table.end_all(reason)

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no request is under way; whether that came to pass in time."""
        until = self._clock() + timeout_s
        while any(model.users for model in self._models()):
            if self._clock() >= until:
                return False
            await asyncio.sleep(_CLOSE_TRIES_S)
        return True

    async def close(self) -> None:
        """Free every model."""
        async with self._changing:
            for model in list(self._models()):
                await asyncio.to_thread(model.close)
            for entry in self._entries.values():
                entry.model, entry.state, entry.reason = None, UNAVAILABLE, "the server is closed"
                entry.retiring.clear()

    async def _load(self, entry: _Entry) -> None:
        old = entry.model
        entry.tried = await asyncio.to_thread(look_at, entry.path)
        if old is None:
            entry.state, entry.reason = LOADING, "being loaded and proven"
        begun = self._clock()
        try:
            new = await asyncio.to_thread(self._loader, entry.name, entry.path, self._options)
        except Exception as error:
            # Whatever a broken bundle can do to the libraries that read it must not end the server.
            self.metrics.of(entry.name).reload_failures += 1
            if old is None:
                entry.state, entry.reason = UNAVAILABLE, str(error)
            else:
                entry.reason = f"still serving {old.bundle.sha256[:12]}, for the new bundle was refused: {error}"
            log_event(
                "model refused", level=logging.ERROR, model=entry.name, reason=str(error), serving=old is not None
            )
            if isinstance(error, RnnxError):
                raise
            raise ModelUnavailableError(
                f"bundle '{entry.path}' cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        self._count(entry.name, new)
        entry.model, entry.state, entry.reason = new, READY, ""
        if old is not None:
            self._retire(entry, old, f"model '{entry.name}' was replaced by another bundle")
        seconds = round(self._clock() - begun, 3)
        log_event(
            "model ready", model=entry.name, sha256=new.bundle.sha256, seconds=seconds, notes="; ".join(new.notes)
        )

    def _count(self, name: str, model: ServedModel) -> None:
        """Let the engines' runs be counted: each variant under a name of its own where there are two."""
        if model.offline is not None:
            model.offline.engine.on_batch = self.metrics.of(name).ran
        if model.streaming is not None:
            model.streaming.engine.on_batch = self.metrics.of(counted_name(model, streaming=True)).ran

    def _retire(self, entry: _Entry, model: ServedModel, reason: str) -> None:
        entry.retiring.append(_Retiring(model=model, until=self._clock() + self._grace_s, reason=reason))

    def _models(self) -> Iterator[ServedModel]:
        for entry in self._entries.values():
            if entry.model is not None:
                yield entry.model
            yield from (one.model for one in entry.retiring)

    def _streams(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for model in self._models():
            if model.table is not None:
                number, size = found.get(model.name, (0, 0))
                found[model.name] = (number + len(model.table), size + model.table.nbytes())
        return found

    def _scan(self) -> None:
        """Note the bundles that lie in the repository's folder now."""
        if self._folder is None:
            return
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:  # a disk that is away; what is loaded serves on
            log_event("repository cannot be read", level=logging.ERROR, reason=str(error))
            return
        for path in paths:
            name = path.name.removesuffix(ENDING)
            # Whoever writes a bundle does so under a hidden name first.
            if path.name.startswith(".") or name in self._entries or not (path / MANIFEST).is_file():
                continue
            with contextlib.suppress(ServerError):
                self._entries[check_name(name)] = _Entry(name=name, path=path)

    def _unknown(self, name: str, version: str) -> ModelNotFoundError:
        shown = name if len(name) <= 64 else name[:64] + "…"
        if name in self.names():
            return ModelNotFoundError(f"model '{shown}' has no version '{version[:64]}'; it has version '{VERSION}'.")
        there = ", ".join(f"'{one}'" for one in self.names()[:20]) or "none"
        return ModelNotFoundError(f"model '{shown}' is not known here; ready are {there}.")


def check_name(name: str) -> str:
    """A model's name, after it was found to fit into an address.

    Raises:
        ServerError: it does not.
    """
    fits = 0 < len(name) <= 128 and all(one.isalnum() or one in "-_." for one in name) and name.isascii()
    if not fits or name.endswith(SUFFIX) or name.strip(".") == "":
        raise ServerError(
            f"'{name}' cannot be a model's name. Names have up to 128 letters, digits, '-', '_' and '.', and do not "
            f"end in '{SUFFIX}', which the server puts behind them. Give another one: NAME=path."
        )
    return name


def counted_name(model: ServedModel, *, streaming: bool) -> str:
    """The name under which a variant's requests and runs are counted."""
    return model.name + SUFFIX if streaming and model.offline is not None else model.name
