"""Plots as PNG bytes, by matplotlib; the same plot gives the same bytes with one version of it."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

#: Readable on a white card and for eyes that do not tell red from green (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DPI = 110
#: Labels of fewer letters are not turned.
_UPRIGHT = 3


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """A figure, and where its PNG goes when the block ends; inches."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the gallery's plots need '{error.name}', which is not installed. Run: pip install 'rnnx[zoo]'."
        ) from error
    # No pyplot: it keeps figures of its own and asks for a screen.
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    yield figure, buffer
    figure.savefig(buffer, format="png", metadata={"Software": None})


def heatmap(
    values: NDArray[Any],
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    title: str = "",
    low: float | None = 0.0,
) -> bytes:
    """A matrix as a map of shades, such as attention.

    Args:
        values: float ``(rows, columns)``.
        columns: a label for each column.
        rows: a label for each row, from the top.
        title: above it.
        low: the value of the lightest shade; None for the smallest there is.
    """
    values = np.asarray(values)
    longest = max(map(len, columns), default=0)
    # A label of a letter or two stands upright in its column, a longer one slopes down to the left.
    upright = longest < _UPRIGHT
    below = 0.3 if upright else 0.3 + 0.06 * longest
    width = min(max(3.0, 0.34 * values.shape[1] + 1.6), 11.0)
    height = min(0.28 * values.shape[0] + below + 0.3, 9.0)
    with _figure(width, height) as (figure, buffer):
        axes = figure.add_subplot()
        shown = axes.imshow(values, cmap="Blues", aspect="auto", vmin=low, interpolation="nearest")
        turn = {} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        # A dollar is a dollar, and begins no formula.
        axes.set_xticks(range(len(columns)), columns, parse_math=False, **turn)
        axes.set_yticks(range(len(rows)), rows, parse_math=False)
        axes.set_title(title, fontsize=10)
        if len(values) > 1:  # the shades of a single row are told apart without
            figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02)
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Panel:
    """Curves over one axis, with a band, shaded stretches and a level where there are any.

    Attributes:
        series: by name, x and y ``(points,)`` each; a name that begins with ``_`` is not in the legend.
        band: x, its lower and its upper edge, such as two quantiles.
        band_name: what the band is.
        marks: stretches of x to shade, such as anomalies that are known.
        mark_name: what they are.
        level: a value of y to draw a line at, such as a threshold.
        level_name: what it is.
        ylabel: with its unit.
        low: the least y that is shown; None leaves it to the curves.
        high: the largest.
        names: what the whole numbers of y are, from 0; none where y is a number.
        shades: a picture behind the curves, such as a spectrogram, ``(rows, columns)`` from the bottom; and the x at
            which it begins and ends, and the same of y.
    """

    series: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
    band: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None
    band_name: str = ""
    marks: Sequence[tuple[float, float]] = ()
    mark_name: str = ""
    level: float | None = None
    level_name: str = ""
    ylabel: str = ""
    low: float | None = None
    high: float | None = None
    names: Sequence[str] = ()
    shades: tuple[NDArray[Any], tuple[float, float, float, float]] | None = None


def lines(*panels: Panel, xlabel: str = "", title: str = "") -> bytes:
    """Panels below each other over one axis of x.

    Args:
        panels: from the top.
        xlabel: with its unit.
        title: above them.
    """
    with _figure(9.0, 2.9 if len(panels) == 1 else 0.5 + 1.75 * len(panels)) as (figure, buffer):
        column = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(column, panels, strict=True):
            _draw(axes, panel)
        column[-1].set_xlabel(xlabel)
        figure.suptitle(title, fontsize=10)
    return buffer.getvalue()


def _draw(axes: Any, panel: Panel) -> None:  # noqa: ANN401  (matplotlib's axes, which is not imported here)
    for number, (begin, end) in enumerate(panel.marks):
        # An edge, so that a stretch of a few steps is seen too; in front, so that many narrow waves do not hide it.
        label = panel.mark_name if number == 0 else None
        axes.axvspan(begin, end, facecolor="#E69F0059", edgecolor="#E69F00", lw=0.8, label=label, zorder=3)
    if panel.shades is not None:
        values, extent = panel.shades
        axes.imshow(values, extent=extent, origin="lower", aspect="auto", cmap="magma", interpolation="nearest")
        axes.set_xlim(extent[0], extent[1])
    if panel.band is not None:
        axes.fill_between(*panel.band, color=COLOURS[0], alpha=0.22, lw=0, label=panel.band_name)
    for (name, (x, y)), colour in zip(panel.series.items(), COLOURS, strict=False):
        axes.plot(x, y, label=name, color=colour, lw=1.2)
    if panel.level is not None:
        axes.axhline(panel.level, color="#444444", lw=0.9, ls="--", label=panel.level_name or None)
    axes.set_ylabel(panel.ylabel)
    if panel.shades is None:
        axes.margins(x=0.01)
        axes.set_ylim(panel.low, panel.high)
    if panel.names:
        axes.set_yticks(range(len(panel.names)), panel.names, fontsize=8)
    handles, labels = axes.get_legend_handles_labels()
    if handles:  # above, where it hides no curve
        legend = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}
        axes.legend(handles, labels, fontsize=8, ncols=len(handles), frameon=False, **legend)


def image(pixels: NDArray[np.uint8], *, scale: int = 4) -> bytes:
    """An image as it is, each pixel a square.

    Args:
        pixels: uint8 ``(height, width)`` or ``(height, width, 3)``.
        scale: pixels of the page for each.
    """
    height, width = pixels.shape[:2]
    with _figure(width * scale / _DPI, height * scale / _DPI) as (figure, buffer):
        figure.set_layout_engine("none")
        axes = figure.add_subplot()
        axes.set_position((0.0, 0.0, 1.0, 1.0))
        axes.axis("off")
        axes.imshow(pixels, cmap="gray", interpolation="nearest", vmin=0, vmax=255)
    return buffer.getvalue()


def overlays(pixels: NDArray[np.uint8], maps: NDArray[Any], labels: Sequence[str], *, columns: int = 9) -> bytes:
    """An image, and then once for each word of its caption, lit where the word looks.

    Args:
        pixels: uint8 ``(height, width, 3)``.
        maps: float ``(words, map height, map width)``, attention of each word; the image is a multiple of them.
        labels: the words.
        columns: images side by side.
    """
    height, width = pixels.shape[:2]
    shown = [("", pixels)]
    for label, weights in zip(labels, maps, strict=True):
        spread = np.kron(weights / weights.max(), np.ones((height // weights.shape[0], width // weights.shape[1])))
        shown.append((label, (pixels * (0.2 + 0.8 * spread[..., None])).astype(np.uint8)))
    across = min(columns, len(shown))
    down = -(-len(shown) // across)
    with _figure(1.05 * across, (1.05 * height / width + 0.3) * down) as (figure, buffer):
        for number, (label, picture) in enumerate(shown):
            cell = figure.add_subplot(down, across, number + 1)
            cell.imshow(picture, interpolation="nearest")
            cell.set_title(label, fontsize=9, pad=3)
            cell.axis("off")
    return buffer.getvalue()
