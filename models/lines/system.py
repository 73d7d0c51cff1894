"""Line reading, as a system of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.tasks.description import CtcWrite, Description, ImageRead
from ..zoo.system import Metric, Score, System
from . import data
from .alphabet import BLANK, SYMBOLS
from .exhibit import exhibit
from .face import FACE
from .model import HEIGHT
from .recipe import build, train
from .scoring import Errors, errors, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..zoo.system import Runner

METRIC = Metric(name="character error rate", unit="%", higher_is_better=False)
#: A held-out line as a picture, to try things out.
SAMPLE = Path(__file__).with_name("line.png")


def evaluate(runner: Runner, lines: Sequence[data.Line]) -> Score:
    """Edits for each character of the held-out lines, best path; the same after blur, slant, noise and bad light."""
    plain, bad = errors(read(runner, lines), lines), _degraded(runner, lines)
    return Score(
        value=plain.characters,
        count=sum(len(line.text) for line in lines),
        details={
            "lines with an error": plain.lines,
            "character error rate, degraded": bad.characters,
            "lines with an error, degraded": bad.lines,
        },
    )


def quickly(runner: Runner, lines: Sequence[data.Line]) -> Score:
    """The value of :func:`evaluate` alone."""
    return Score(value=errors(read(runner, lines), lines).characters, count=sum(len(line.text) for line in lines))


def by_font(runner: Runner, lines: Sequence[data.Line]) -> dict[str, float]:
    """Edits for each character by font."""
    said = read(runner, lines)
    found = {}
    for font in dict.fromkeys(line.font for line in lines):
        rows = [row for row, line in enumerate(lines) if line.font == font]
        found[font] = errors([said[row] for row in rows], [lines[row] for row in rows]).characters
    return found


def _degraded(runner: Runner, lines: Sequence[data.Line]) -> Errors:
    changed = data.degraded(lines)
    return errors(read(runner, changed), changed)


def assets() -> Mapping[str, bytes]:
    """What the bundle needs to take a picture of a line and to answer with its text."""
    description = Description(
        task="line-reading",
        about="Reads one line of printed text: letters, digits and common marks of English.",
        read=ImageRead(input="image", height=HEIGHT, channels=1),
        write=CtcWrite(output="log_probs", symbols=SYMBOLS, blank=BLANK, lengths="frames"),
        samples=(SAMPLE.name,),
    )
    return {"task.json": description.to_bytes(), SAMPLE.name: SAMPLE.read_bytes()}


LINES = System(
    name="lines",
    build=build,
    train=train,
    face=FACE,
    assets=assets,
    held_out=data.load,
    evaluate=evaluate,
    metric=METRIC,
    int8_budget=0.005,
    int8_metric=quickly,
    exhibit=exhibit,
)
