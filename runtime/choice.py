"""What was asked for, what is used, and why something cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderChoice:
    """Which provider a session uses, and why not another.

    Attributes:
        name: the provider in use, such as ``cpu``.
        requested: what was asked for: its name or ``auto``.
        reasons: for each provider that ``auto`` tried before, why it is not usable.
    """

    name: str
    requested: str
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """For people: ``cpu (auto; not cuda: libcublasLt.so.13 is missing)``."""
        if self.requested != AUTO:
            return self.name
        why = "".join(f"; not {name}: {reason}" for name, reason in self.reasons.items())
        return f"{self.name} (auto{why})"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {"name": self.name, "requested": self.requested, "reasons": dict(self.reasons)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """Why a provider cannot be used.

    Attributes:
        why: what is wrong, without a full stop.
        mend: what to do about it, beginning with a verb, without a full stop.
        command: the same with its commands spelled out.
        missing: names of missing libraries.
    """

    why: str
    mend: str
    command: str
    missing: tuple[str, ...] = ()
