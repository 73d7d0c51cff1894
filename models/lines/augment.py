"""What cameras, scanners and screens do to a line: slant, blur, light, noise; and bright text on dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Most columns that the top of a line stands beside its bottom.
_SLANT = 7.0
#: Largest deviation of the blur, in pixels, and of the noise, in shares of the contrast.
_BLUR, _NOISE = 1.1, 0.12
#: Least difference of text and ground.
_CONTRAST = 0.3
#: Largest change of the ground's brightness from one end to the other.
_SHADE = 0.25


def degrade(line: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.float32]:
    """Change a drawn line at random.

    Args:
        line: ``(32, width)``, black on white.
        generator: of what is done.

    Returns:
        ``(32, width')``, 0 black to 1 white; slanted lines are wider.
    """
    ink: NDArray[np.float32] = np.float32(1) - line.astype(np.float32) / np.float32(255)
    if generator.random() < 0.5:
        ink = _slanted(ink, generator.uniform(-_SLANT, _SLANT))
    if generator.random() < 0.5:
        ink = _blurred(ink, generator.uniform(0.3, _BLUR))
    if generator.random() < 0.3:
        ink = ink ** np.float32(generator.uniform(0.5, 1.8))  # thicker or thinner strokes
    contrast = generator.uniform(_CONTRAST, 1)
    ground = generator.uniform(contrast, 1)
    image = ground - contrast * ink
    if generator.random() < 0.4:
        image += generator.uniform(-_SHADE, _SHADE) * np.linspace(-0.5, 0.5, image.shape[1])
    if generator.random() < 0.5:
        image += generator.uniform(0, _NOISE) * contrast * generator.standard_normal(image.shape, dtype=np.float32)
    if generator.random() < 0.25:
        image = 1 - image
    clipped: NDArray[np.float32] = np.clip(image, 0, 1).astype(np.float32)
    return clipped


def _slanted(ink: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    """Shear: the top moved ``by`` columns against the bottom, with values between columns where need be."""
    rows, columns = ink.shape
    most = int(np.ceil(abs(by)))
    wide = np.pad(ink, ((0, 0), (most, most + 2)))
    at = by * (np.arange(rows) / (rows - 1) - 0.5)[:, None] + most / 2
    places = np.arange(columns + most)[None] + at
    whole = np.clip(np.floor(places).astype(int), 0, wide.shape[1] - 2)
    share = (places - whole).astype(np.float32)
    row = np.arange(rows)[:, None]
    moved: NDArray[np.float32] = wide[row, whole] * (1 - share) + wide[row, whole + 1] * share
    return moved


def _blurred(ink: NDArray[np.float32], deviation: float) -> NDArray[np.float32]:
    """Five taps of a Gaussian, down and across."""
    taps = np.exp(-0.5 * (np.arange(-2, 3) / deviation) ** 2).astype(np.float32)
    taps /= taps.sum()
    rows, columns = ink.shape
    wide = np.pad(ink, 2)
    down = sum(tap * wide[shift : shift + rows] for shift, tap in enumerate(taps))
    across: NDArray[np.float32] = sum(tap * down[:, shift : shift + columns] for shift, tap in enumerate(taps))
    return across
