"""Writing YAML: mappings, lists, strings, numbers and booleans, one form for each. No more is needed for manifests."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Yaml = Mapping[str, "Yaml"] | Sequence["Yaml"] | str | int | float | bool

#: What every reader, of YAML 1.1 or 1.2, takes for this string and nothing else.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*\Z")
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none", "inf", "nan"}


def to_yaml(value: Mapping[str, Yaml]) -> str:
    """A mapping as a YAML document.

    Raises:
        TypeError: there is something in it that is none of the above.
    """
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Yaml) -> list[str]:
    if isinstance(value, dict):
        lines = []
        for key, inner in value.items():
            if isinstance(inner, dict | list | tuple) and inner:
                lines.append(f"{_scalar(key)}:")
                lines += [f"  {line}" for line in _lines(inner)]
            else:
                lines.append(f"{_scalar(key)}: {_scalar(inner)}")
        return lines
    if isinstance(value, list | tuple):
        lines = []
        for inner in value:
            first, *rest = _lines(inner) or [_scalar(inner)]
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return [_scalar(value)]


def _scalar(value: Yaml) -> str:
    if isinstance(value, str):
        plain = _PLAIN.match(value) and value.lower() not in _WORDS
        # A string of JSON is one of YAML.
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool | int | float) or value in ({}, [], ()):
        return json.dumps(value, allow_nan=False)
    raise TypeError(f"{type(value).__name__} has no form in YAML here")
