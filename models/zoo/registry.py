"""Every system of the zoo by name. Light: ``rnnx zoo list`` reads this and the cards, never torch."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ZooError
from .system import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .system import System

_MODELS = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What is known of a system before it is imported.

    Attributes:
        room: folder of ``models/`` that holds it.
        constant: name of its :class:`rnnx.models.zoo.System` in ``models/ROOM/system.py``.
        task: what it does, in a few words.
        architecture: of what it is built.
        data: what it learned from.
        licence: of that data.
        limits: what it was not made for, in whole sentences.
    """

    room: str
    constant: str
    task: str
    architecture: str
    data: str
    licence: str
    limits: str


ZOO: dict[str, Entry] = {
    "speaker": Entry(
        room="speaker",
        constant="SPEAKER",
        task="speaker recognition",
        architecture="bidirectional LSTM, mean and maximum over time",
        data="JapaneseVowels (aeon)",
        licence="BSD-3-Clause (aeon)",
        limits="It knows nine men who said two Japanese vowels, as 12 LPC cepstrum coefficients each 6.4 ms, and calls "
        "everybody one of them.",
    ),
}


def entry(name: str) -> Entry:
    """What is known of a system.

    Raises:
        ZooError: there is none of this name.
    """
    if name not in ZOO:
        raise ZooError(f"the zoo has no system '{name}'; it has {', '.join(ZOO)}.")
    return ZOO[name]


def system(name: str) -> System:
    """A system, which imports torch.

    Raises:
        ZooError: there is none of this name.
    """
    known = entry(name)
    home = importlib.import_module(f"..{known.room}.system", __package__)
    found: System = getattr(home, known.constant)
    return found


def card_file(name: str) -> Path:
    """Where a system's measured figures are committed."""
    return _MODELS / entry(name).room / f"{name}.json"


def figures(name: str) -> dict[str, Any] | None:
    """A system's measured figures as :mod:`.cards` wrote them; None where they were not yet measured."""
    file = card_file(name)
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def reached(measured: Mapping[str, Any] | None) -> str:
    """What a system reached by its fp32 bundle, for people; ``-`` where it was not yet measured."""
    if measured is None:
        return "-"
    said = measured["metric"]
    metric = Metric(
        name=said["name"], unit=said["unit"], higher_is_better=said["higher_is_better"], digits=said["digits"]
    )
    return f"{metric.show(measured['results'][0]['value'])} {metric.name}"
