"""Plots as PNG bytes, by matplotlib; the same plot gives the same bytes with one version of it."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

#: Readable on a white card and for eyes that do not tell red from green (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DPI = 110


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, Any, io.BytesIO]]:
    """A figure with one axis, and where its PNG goes when the block ends; inches."""
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
    axes = figure.add_subplot()
    buffer = io.BytesIO()
    yield figure, axes, buffer
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
    width = min(max(3.0, 0.32 * values.shape[1] + 1.2), 11.0)
    height = min(max(1.4, 0.3 * values.shape[0] + 0.9), 8.0)
    with _figure(width, height) as (figure, axes, buffer):
        shown = axes.imshow(values, cmap="Blues", aspect="auto", vmin=low, interpolation="nearest")
        if columns:
            axes.set_xticks(range(len(columns)), columns, rotation=0 if max(map(len, columns)) < 3 else 60, ha="center")
        if rows:
            axes.set_yticks(range(len(rows)), rows)
        axes.set_title(title, fontsize=10)
        figure.colorbar(shown, ax=axes, fraction=0.04)
    return buffer.getvalue()


def lines(
    series: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    *,
    band: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
    band_name: str = "",
    marks: Sequence[tuple[float, float]] = (),
    mark_name: str = "",
    level: float | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
) -> bytes:
    """Curves over one axis, with a band, shaded stretches and a level where there are any.

    Args:
        series: by name, x and y ``(points,)`` each.
        band: x, its lower and its upper edge, such as two quantiles.
        band_name: what the band is.
        marks: stretches of x to shade, such as anomalies that are known.
        mark_name: what they are.
        level: a value of y to draw a line at, such as a threshold.
        xlabel: with its unit.
        ylabel: with its unit.
        title: above it.
    """
    with _figure(9.0, 3.2) as (_, axes, buffer):
        for number, (begin, end) in enumerate(marks):
            axes.axvspan(begin, end, color="#E69F00", alpha=0.35, lw=0, label=mark_name if number == 0 else None)
        if band is not None:
            axes.fill_between(*band, color=COLOURS[0], alpha=0.22, lw=0, label=band_name)
        for (name, (x, y)), colour in zip(series.items(), COLOURS, strict=False):
            axes.plot(x, y, label=name, color=colour, lw=1.2)
        if level is not None:
            axes.axhline(level, color="#444444", lw=0.9, ls="--")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.01)
        axes.legend(fontsize=8, loc="upper left", ncols=3, framealpha=0.85)
    return buffer.getvalue()


def image(pixels: NDArray[np.uint8], *, scale: int = 4) -> bytes:
    """An image as it is, each pixel a square.

    Args:
        pixels: uint8 ``(height, width)`` or ``(height, width, 3)``.
        scale: pixels of the page for each.
    """
    height, width = pixels.shape[:2]
    with _figure(width * scale / _DPI, height * scale / _DPI) as (figure, axes, buffer):
        figure.set_layout_engine("none")
        axes.set_position((0.0, 0.0, 1.0, 1.0))
        axes.axis("off")
        axes.imshow(pixels, cmap="gray", interpolation="nearest", vmin=0, vmax=255)
    return buffer.getvalue()


def overlays(pixels: NDArray[np.uint8], maps: NDArray[Any], labels: Sequence[str], *, columns: int = 6) -> bytes:
    """One image several times, each lit where a word of its caption looks.

    Args:
        pixels: uint8 ``(height, width, 3)``.
        maps: float ``(words, map height, map width)``, attention of each word.
        labels: the words.
        columns: images side by side.
    """
    count = len(labels)
    across = min(columns, count)
    down = -(-count // across)
    height, width = pixels.shape[:2]
    with _figure(1.6 * across, 1.6 * down * height / width + 0.35 * down) as (figure, axes, buffer):
        axes.remove()
        for number, (label, weights) in enumerate(zip(labels, maps, strict=True)):
            cell = figure.add_subplot(down, across, number + 1)
            cell.imshow(pixels)
            spread = np.kron(weights, np.ones((height // weights.shape[0], width // weights.shape[1])))
            cell.imshow(spread, cmap="inferno", alpha=0.55, extent=(0, width, height, 0))
            cell.set_title(label, fontsize=9)
            cell.axis("off")
    return buffer.getvalue()
