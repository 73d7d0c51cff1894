"""Where a PyTorch model comes from: ``file.py:factory`` or ``package.module:factory``."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ..bundle import hash_file
from ..errors import SourceError
from .checkpoint import load_checkpoint

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A model in eval mode, and what the manifest says of its origin.

    Attributes:
        module: the model.
        origin: source, its file's SHA-256, arguments, and the checkpoint's name and SHA-256, JSON-able.
    """

    module: nn.Module
    origin: Mapping[str, Any] = field(default_factory=dict)


def load_source(
    source: str,
    *,
    init: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    trust_pickle: bool = False,
) -> Source:
    """Build a model and load its weights.

    Args:
        source: ``path/file.py:callable`` or ``package.module:callable``; the callable returns an ``nn.Module``.
        init: keyword arguments for the callable.
        checkpoint: a ``.pt``, ``.pth``, ``.ckpt``, ``.bin`` or ``.safetensors`` file; None keeps the weights that
            the callable made.
        trust_pickle: let the checkpoint run code while it is read (a whole pickled model).

    Raises:
        SourceError: the source cannot be resolved, or does not return an ``nn.Module``.
        CheckpointError: the checkpoint cannot be read, or does not fit.
    """
    with _resolved(source) as (imported, factory):
        module = _build(factory, source, dict(init or {}))
        if checkpoint is not None:
            # Here, because a whole pickled model names the modules beside the source.
            load_checkpoint(module, checkpoint, trust_pickle=trust_pickle)
    code = inspect.getsourcefile(imported)
    origin: dict[str, Any] = {"source": source, "init": {key: repr(value) for key, value in (init or {}).items()}}
    if code is not None and Path(code).is_file():
        origin["sha256"] = hashlib.sha256(Path(code).read_bytes()).hexdigest()
    if checkpoint is not None:
        origin["checkpoint"] = Path(checkpoint).name
        origin["checkpoint_sha256"] = hash_file(Path(checkpoint)).sha256
    return Source(module=module.eval(), origin=origin)


def load_callable(source: str) -> tuple[Callable[..., Any], str]:
    """A function of the user's that is no model, such as a metric, and the SHA-256 of the file that it stands in.

    Raises:
        SourceError: it cannot be resolved, or is not callable.
    """
    with _resolved(source) as (imported, found):
        if not callable(found):
            raise SourceError(f"'{source}' is of type '{type(found).__name__}'; it must be a callable.")
        code = inspect.getsourcefile(imported)
    return found, "" if code is None else hash_file(Path(code)).sha256


def parse_init(arguments: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments from ``key=value`` texts; a value is a Python literal, or else the text itself.

    Raises:
        SourceError: a text has no ``=``, or its key is no name.
    """
    parsed: dict[str, Any] = {}
    for argument in arguments:
        key, separator, text = argument.partition("=")
        if not separator or not key.strip().isidentifier():
            raise SourceError(f"'{argument}' must be 'key=value', such as 'hidden_size=256'.")
        try:
            parsed[key.strip()] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parsed[key.strip()] = text
    return parsed


@contextmanager
def _resolved(source: str) -> Iterator[tuple[Any, Any]]:
    """The module of ``file.py:name``, and what is called so in it; modules beside it can be imported in the block."""
    location, separator, attribute = source.rpartition(":")
    if not separator or not location or not attribute:
        raise SourceError(f"source '{source}' must be 'path/file.py:callable' or 'package.module:callable'.")
    file = Path(location) if location.endswith(".py") else None
    with _importable(file.parent if file else Path.cwd()):
        imported = _import_file(file) if file else _import_module(location)
        found = imported
        for part in attribute.split("."):
            found = _attribute(found, part, source)
        yield imported, found


#: Modules that sources imported from beside them, and their folder.
_siblings: dict[str, str] = {}


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules beside the source can be imported while it is, as they can when it is run as a script.

    Each of two sources may have a ``layers.py`` beside it: what a source of another folder imported is forgotten
    first, or Python would answer this one's ``import layers`` with it.
    """
    path = str(folder.resolve())
    for name in [name for name, home in _siblings.items() if home != path]:
        sys.modules.pop(name, None)
        del _siblings[name]
    before = set(sys.modules)
    # What stands in a folder that the process itself imports from is not the source's alone.
    known = path in {str(Path(one).resolve()) for one in sys.path}
    sys.path.insert(0, path)
    try:
        yield
    finally:
        if path in sys.path:
            sys.path.remove(path)
        if not known:
            _siblings.update({name: path for name in sys.modules.keys() - before if _stands_in(path, name)})


def _stands_in(path: str, name: str) -> bool:
    """Whether this module is, or belongs to, a file or package right inside this folder."""
    specification = getattr(sys.modules.get(name.partition(".")[0]), "__spec__", None)
    if specification is None:
        return False
    places = specification.submodule_search_locations or [specification.origin or ""]
    return any(str(Path(place).parent) == path for place in places)


def _import_file(file: Path) -> Any:  # noqa: ANN401
    if not file.is_file():
        raise SourceError(f"the source file '{file}' does not exist. Give the path of a Python file.")
    # A name of our own, so that a user's `models.py` or `test.py` never shadows, or is shadowed by, another module.
    name = f"_rnnx_source_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script without `if __name__ == "__main__"` may end the process
        del sys.modules[name]
        raise SourceError(f"importing '{file}' failed: {type(error).__name__}: {error}.") from error
    return module


def _import_module(name: str) -> Any:  # noqa: ANN401
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        hint = "" if name.endswith("py") else " A file is written with its ending: 'path/file.py:callable'."
        raise SourceError(f"the source's module '{name}' cannot be imported: {error}.{hint}") from error
    except (Exception, SystemExit) as error:
        raise SourceError(f"importing '{name}' failed: {type(error).__name__}: {error}.") from error


def _attribute(owner: Any, name: str, source: str) -> Any:  # noqa: ANN401
    try:
        return getattr(owner, name)
    except AttributeError:
        there = getattr(owner, "__dict__", {})
        public = [one for one in there if not one.startswith("_") and callable(getattr(owner, one))]
        raise SourceError(
            f"'{source}': there is no '{name}'. Callables there: {', '.join(map(repr, public[:12])) or 'none'}."
        ) from None


def _build(factory: Callable[..., Any], source: str, init: dict[str, Any]) -> nn.Module:
    if isinstance(factory, nn.Module):
        if init:
            raise SourceError(
                f"'{source}' is a model already, so the arguments {init} go nowhere. Leave --init out, or name the "
                "class or function that builds it."
            )
        return factory
    if not callable(factory):
        raise SourceError(
            f"'{source}' is of type '{type(factory).__name__}'; it must be a callable that returns an nn.Module."
        )
    try:
        module = factory(**init)
    except (Exception, SystemExit) as error:
        raise SourceError(
            f"'{source}' failed with the arguments {init}: {type(error).__name__}: {error}. "
            "Arguments are given with --init key=value."
        ) from error
    if not isinstance(module, nn.Module):
        raise SourceError(
            f"'{source}' returned an object of type '{type(module).__name__}'; it must return an nn.Module."
        )
    return module
