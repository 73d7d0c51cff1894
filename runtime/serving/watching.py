"""Whether a bundle on disk is another than before: looked at, not watched, which works on every file system."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ...manifest import MANIFEST

if TYPE_CHECKING:
    from pathlib import Path


def look_at(path: Path) -> object:
    """Name, size and modification time of every file of a bundle; None where there is no bundle just now."""
    try:
        if not (path / MANIFEST).is_file():
            return None
        found = [(str(one), one.stat()) for one in sorted(path.rglob("*"))]
    except OSError:
        return None
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)


def sha256_of(path: Path) -> str:
    """SHA-256 of a bundle's manifest; empty where it cannot be read just now."""
    try:
        return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return ""
