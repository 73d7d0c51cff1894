"""Containers as the step of a loop sees them: copies, with lists in which appending and looking is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from .frames import Frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _Unbound:
    """What stands for a name that has no value yet."""

    def __repr__(self) -> str:
        return "a name without a value"


UNBOUND = _Unbound()


class CannotConvertError(Exception):
    """The reason why a loop cannot become a scan; whoever knows its place makes an error of it."""


class Growing(list[Any]):
    """A list as a step sees it.

    Attributes:
        given: the items that it had before the step.
        put_in_front: whether the step put items in front.
        looked_back: whether the step read items counted from the end.
        looked_through: whether the step read it in a way that depends on how long it is.
    """

    def __init__(self, items: Sequence[Any], *, opaque: bool = False) -> None:
        """Begin with the items of before; ``opaque`` where there are more that are not known."""
        super().__init__(items)
        self.given = list(items)
        self.opaque = opaque
        self.put_in_front = False
        self.looked_back = False
        self.looked_through = False

    def insert(self, index: Any, item: Any) -> None:  # noqa: ANN401
        """Notice an item that is put in front."""
        if not isinstance(index, int) or index != 0:
            raise CannotConvertError("a step inserts into a list at another place than its front")
        self.put_in_front = True
        super().insert(0, item)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        if isinstance(index, int) and index < 0:
            self.looked_back = True
        else:
            self.looked_through = True
        return super().__getitem__(index)

    def __iter__(self) -> Any:  # noqa: ANN401
        self.looked_through = True
        return super().__iter__()

    def __len__(self) -> int:
        self.looked_through = True
        return super().__len__()

    def __bool__(self) -> bool:
        return len(self) > 0

    def __add__(self, other: Any) -> Growing:  # noqa: ANN401
        return self._joined([*self.items(), *other], front=False)

    def __radd__(self, other: Any) -> Growing:  # noqa: ANN401
        return self._joined([*other, *self.items()], front=True)

    def _joined(self, items: list[Any], *, front: bool) -> Growing:
        joined = Growing(items, opaque=self.opaque)
        joined.take_over(self)
        joined.put_in_front |= front
        return joined

    def take_over(self, other: Growing) -> None:
        """Take over what was noticed of another list."""
        self.given = other.given
        self.put_in_front |= other.put_in_front
        self.looked_back |= other.looked_back
        self.looked_through |= other.looked_through

    def items(self) -> list[Any]:
        """All items, without it being noticed."""
        return list(super().__iter__())


def opened(value: Any, tensor: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401, PLR0911  (one answer a kind of value)
    """A copy of a value that a step may change: containers are new, tensors are what ``tensor`` makes of them."""
    if isinstance(value, Tensor):
        return tensor(value)
    if isinstance(value, Frames):
        return Growing([], opaque=True)
    if isinstance(value, Growing):
        copied = Growing([opened(one, tensor) for one in value.items()], opaque=value.opaque)
        copied.take_over(value)
        return copied
    if type(value) is list or value == ():  # a tuple that is empty is there to be added to
        return Growing([opened(one, tensor) for one in value])
    if isinstance(value, tuple):
        return _like(value, [opened(one, tensor) for one in value])
    if isinstance(value, dict):
        return type(value)((key, opened(one, tensor)) for key, one in value.items())
    return value


def closed(value: Any) -> Any:  # noqa: ANN401
    """The same with plain lists."""
    if isinstance(value, list) and not isinstance(value, Frames):
        return [closed(one) for one in (value.items() if isinstance(value, Growing) else value)]
    if isinstance(value, tuple):
        return _like(value, [closed(one) for one in value])
    if isinstance(value, dict):
        return type(value)((key, closed(one)) for key, one in value.items())
    return value


def children(value: Any) -> list[Any] | None:  # noqa: ANN401
    """What a container holds, in order; None where it is none."""
    if isinstance(value, Frames):
        return None
    if isinstance(value, list | tuple):
        return value.items() if isinstance(value, Growing) else list(value)
    return list(value.values()) if isinstance(value, dict) else None


def rebuilt(value: Any, items: Sequence[Any]) -> Any:  # noqa: ANN401
    """A container like this one with other items."""
    if isinstance(value, dict):
        return type(value)(zip(value, items, strict=True))
    return _like(value, items) if isinstance(value, tuple) else list(items)


def _like(value: tuple[Any, ...], items: Sequence[Any]) -> tuple[Any, ...]:
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
