"""What a loop's step must leave alone: attributes of modules, and containers that it was not given as its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from .frames import Frames
from .growing import CannotConvertError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Attributes that every module has.
_TORCHS = frozenset(vars(nn.Module()))


class Watch:
    """Remembers what is there, to find out what a step has changed."""

    def __init__(self, modules: Sequence[nn.Module], values: Mapping[str, Any]) -> None:
        """Remember the attributes of modules, and containers by name."""
        self._modules = modules
        self._attributes = [{name: (value, _held(value)) for name, value in _attributes(one)} for one in modules]
        self._values = {name: (value, _held(value)) for name, value in values.items()}

    def check(self) -> None:
        """Refuse what was changed.

        Raises:
            CannotConvertError: names the attribute, which is as it was, or the container.
        """
        for module, before in zip(self._modules, self._attributes, strict=True):
            now = dict(_attributes(module))
            changed = [name for name, value in now.items() if name not in before or not _same(before[name], value)]
            for name in changed:
                _restore(module, name, before)
            if changed:
                raise CannotConvertError(
                    f"a step changes the attribute '{changed[0]}' of a {type(module).__name__}, and a graph has no "
                    "attributes; let the state go in and come out as values"
                )
        for name, before_value in self._values.items():
            if not _same(before_value, before_value[0]):
                raise CannotConvertError(f"a step changes '{name}' through another function or name")


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    yield from module._buffers.items()
    for name, value in vars(module).items():
        if name not in _TORCHS:
            yield name, value


def _restore(module: nn.Module, name: str, before: Mapping[str, tuple[Any, Any]]) -> None:
    place = module._buffers if name in module._buffers else vars(module)
    if name not in before:
        place.pop(name, None)
        return
    value, held = before[name]
    place[name] = value
    if isinstance(value, list):
        value[:] = held
    elif isinstance(value, dict):
        value.clear()
        value.update(held)


def _held(value: Any) -> Any:  # noqa: ANN401
    """What a container holds."""
    if isinstance(value, Frames):
        return None
    if isinstance(value, list):
        return list(value)
    return dict(value) if isinstance(value, dict) else None


def _same(before: tuple[Any, Any], now: Any) -> bool:  # noqa: ANN401
    value, held = before
    if value is not now:
        return False
    if held is None:
        return True
    items = list(now.items()) if isinstance(now, dict) else list(now)
    old = list(held.items()) if isinstance(held, dict) else held
    if len(items) != len(old):
        return False
    pairs = zip(items, old, strict=True)
    if isinstance(now, dict):
        return all(key == other and one is was for (key, one), (other, was) in pairs)
    return all(one is other for one, other in pairs)
