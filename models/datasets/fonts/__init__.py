"""Free fonts that Debian packages, in three groups of whole families: to learn from, to choose by, and never seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..packages import find
from .first import FIRST
from .kept import CHOSEN_BY, CHOSEN_BY_LATER, UNSEEN
from .later import LATER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..packages import Package

__all__ = ["CHOSEN_BY", "CHOSEN_BY_LATER", "FIRST", "LATER", "UNSEEN", "load"]


def load(packages: Sequence[Package], folder: Path | None = None) -> tuple[Path, ...]:
    """Find the font files of some packages.

    Args:
        packages: such as :data:`FIRST`.
        folder: holds the unpacked packages at any depth; None where they are installed.

    Raises:
        MissingDataError: a package is not there.
        AlteredDataError: a file is another version's.
    """
    return tuple(path for package in packages for path in find(package, folder).values())
