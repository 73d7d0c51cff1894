"""Pictures of the npm package `emoji-datasource-google`: Google's Noto Emoji, 64 pixels wide.

The pictures are under the Apache License 2.0; the tables of the package, which are not used, under the MIT licence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import MissingExtraError
from .packages import Package, find

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def package(hashes: Mapping[str, str]) -> Package:
    """The package, of which some pictures are wanted: their code points, such as ``1f34e``, and SHA-256."""
    return Package(
        kind="npm",
        name="emoji-datasource-google",
        version="16.0.0",
        licence="Apache-2.0",
        files={f"img/google/64/{code}.png": value for code, value in hashes.items()},
    )


def load(hashes: Mapping[str, str], size: int, folder: Path | None = None) -> NDArray[np.uint8]:
    """Read pictures and make them smaller.

    Args:
        hashes: SHA-256 by code point.
        size: pixels of a side.
        folder: holds the unpacked package; None where it is installed.

    Returns:
        ``(pictures, size, size, 4)``: red, green, blue and opacity, in the order of ``hashes``.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(f"reading pictures needs Pillow: {error}. Run: pip install 'rnnx[zoo]'.") from error
    pictures = []
    for path in find(package(hashes), folder).values():
        with Image.open(path) as image:
            pictures.append(np.asarray(image.convert("RGBA").resize((size, size), Image.Resampling.BOX)))
    return np.stack(pictures)
