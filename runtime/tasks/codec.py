"""Frozen dataclasses to JSON and back, by their type hints: strict, and with the place named where JSON is wrong.

Types that are known: ``str``, ``int``, ``float``, ``bool``, ``None`` within a union, ``Literal``, ``tuple[T, ...]``,
``Mapping[str, T]``, such a dataclass, and a union of dataclasses that tell each other by their class variable ``kind``.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from ...errors import TaskError


def to_json(value: Any) -> Any:  # noqa: ANN401  (whatever a field holds)
    """A value as plain JSON: of a dataclass its ``kind``, and every field that is not at its default."""
    if dataclasses.is_dataclass(value):
        data = {"kind": value.kind} if hasattr(value, "kind") else {}
        for one in dataclasses.fields(value):
            held = getattr(value, one.name)
            default = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
            if held != default:
                data[one.name] = to_json(held)
        return data
    if isinstance(value, Mapping):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    return value


def check_fields(value: Any) -> None:  # noqa: ANN401  (any dataclass)
    """Refuse a dataclass whose fields are not of their declared types; lists become tuples. For ``__post_init__``.

    Raises:
        TaskError: a field is of another type than declared.
    """
    hints = typing.get_type_hints(type(value))
    for one in dataclasses.fields(value):
        held = getattr(value, one.name)
        if not dataclasses.is_dataclass(held):
            object.__setattr__(value, one.name, from_json(held, hints[one.name], f"{type(value).__name__}.{one.name}"))


def from_json(data: Any, kind: Any, place: str) -> Any:  # noqa: ANN401  (a value of the type ``kind``)
    """A value of the declared type.

    Args:
        data: as JSON gives it; values that are dataclasses already stay.
        kind: the type, as a type hint.
        place: where in the file it stands, for messages.

    Raises:
        TaskError: it is of another type, has keys that are not known, or lacks some.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        return _union(data, arguments, place)
    if origin is typing.Literal:
        if data not in arguments or isinstance(data, bool):
            raise _wrong(place, data, "one of " + ", ".join(repr(one) for one in arguments))
        return data
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise _wrong(place, data, "a list")
        return tuple(from_json(one, arguments[0], f"{place}[{index}]") for index, one in enumerate(data))
    if origin is Mapping:
        if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
            raise _wrong(place, data, "an object")
        return {key: from_json(one, arguments[1], f"{place}.{key}") for key, one in data.items()}
    if dataclasses.is_dataclass(kind):
        return data if isinstance(data, typing.cast("type", kind)) else _object(data, kind, place)
    return _plain(data, kind, place)


def _plain(data: Any, kind: Any, place: str) -> Any:  # noqa: ANN401
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool) and math.isfinite(data):
        return float(data)
    if kind is not float and isinstance(data, kind) and (kind is bool or not isinstance(data, bool)):
        return data
    names = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false"}
    raise _wrong(place, data, names[kind])


def _union(data: Any, choices: tuple[Any, ...], place: str) -> Any:  # noqa: ANN401
    others = [one for one in choices if one is not types.NoneType]
    if data is None and len(others) < len(choices):
        return None
    if len(others) == 1:
        return from_json(data, others[0], place)
    if isinstance(data, tuple(others)):
        return data
    kinds = {one.kind: one for one in others}
    found = data.get("kind") if isinstance(data, Mapping) else None
    if found not in kinds:
        raise _wrong(f"{place}.kind", found, "one of " + ", ".join(repr(one) for one in kinds))
    return _object({key: one for key, one in data.items() if key != "kind"}, kinds[found], place)


def _object(data: Any, kind: Any, place: str) -> Any:  # noqa: ANN401
    if not isinstance(data, Mapping):
        raise _wrong(place, data, "an object")
    hints = typing.get_type_hints(kind)
    fields = {one.name: one for one in dataclasses.fields(kind)}
    unknown = [key for key in data if key not in fields]
    if unknown:
        known = ", ".join(f"'{name}'" for name in fields)
        raise TaskError(f"{place} has the key '{unknown[0]}', which is not known here; known are {known}.")
    missing = [
        name
        for name, one in fields.items()
        if name not in data and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise TaskError(f"{place} lacks '{missing[0]}'. Add it.")
    return kind(**{key: from_json(one, hints[key], f"{place}.{key}") for key, one in data.items()})


def _wrong(place: str, found: object, allowed: str) -> TaskError:
    shown = repr(found)
    return TaskError(f"{place} is {shown if len(shown) < 60 else shown[:57] + '...'}; it must be {allowed}.")
