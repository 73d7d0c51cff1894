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
    location, separator, attribute = source.rpartition(":")
    if not separator or not location or not attribute:
        raise SourceError(f"source '{source}' must be 'path/file.py:callable' or 'package.module:callable'.")
    file = Path(location) if location.endswith(".py") else None
    with _importable(file.parent if file else Path.cwd()):
        imported = _import_file(file) if file else _import_module(location)
        factory = imported
        for part in attribute.split("."):
            factory = _attribute(factory, part, source)
        module = factory if isinstance(factory, nn.Module) else _build(factory, source, dict(init or {}))
    code = inspect.getsourcefile(imported)
    origin: dict[str, Any] = {"source": source, "init": {key: repr(value) for key, value in (init or {}).items()}}
    if code is not None and Path(code).is_file():
        origin["sha256"] = hashlib.sha256(Path(code).read_bytes()).hexdigest()
    if checkpoint is not None:
        load_checkpoint(module, checkpoint, trust_pickle=trust_pickle)
        origin["checkpoint"] = Path(checkpoint).name
        origin["checkpoint_sha256"] = hash_file(Path(checkpoint)).sha256
    return Source(module=module.eval(), origin=origin)


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
def _importable(folder: Path) -> Iterator[None]:
    """Modules beside the source can be imported while it is, as they can when it is run as a script."""
    path = str(folder.resolve())
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)


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
    except BaseException as error:
        del sys.modules[name]
        raise SourceError(f"importing '{file}' failed: {type(error).__name__}: {error}.") from error
    return module


def _import_module(name: str) -> Any:  # noqa: ANN401
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        hint = "" if name.endswith("py") else " A file is written with its ending: 'path/file.py:callable'."
        raise SourceError(f"the source's module '{name}' cannot be imported: {error}.{hint}") from error
    except Exception as error:
        raise SourceError(f"importing '{name}' failed: {type(error).__name__}: {error}.") from error


def _attribute(owner: Any, name: str, source: str) -> Any:  # noqa: ANN401
    try:
        return getattr(owner, name)
    except AttributeError:
        public = [one for one in vars(owner) if not one.startswith("_") and callable(getattr(owner, one))]
        raise SourceError(
            f"'{source}': there is no '{name}'. Callables there: {', '.join(map(repr, public[:12])) or 'none'}."
        ) from None


def _build(factory: Callable[..., Any], source: str, init: dict[str, Any]) -> nn.Module:
    if not callable(factory):
        raise SourceError(f"'{source}' is a {type(factory).__name__}; it must be a callable that returns an nn.Module.")
    try:
        module = factory(**init)
    except Exception as error:
        raise SourceError(
            f"'{source}' failed with the arguments {init}: {type(error).__name__}: {error}. "
            "Arguments are given with --init key=value."
        ) from error
    if not isinstance(module, nn.Module):
        raise SourceError(f"'{source}' returned a {type(module).__name__}; it must return an nn.Module.")
    return module
