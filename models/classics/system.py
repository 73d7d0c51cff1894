"""The classics as systems of the zoo."""

from __future__ import annotations

from functools import partial

from ...runtime.tasks.description import (
    Characters,
    Description,
    ForecastWrite,
    GenerateWrite,
    ImageRead,
    LabelsWrite,
    SeriesRead,
    Table,
    TextRead,
)
from ..zoo.system import Metric, System
from . import adding, digits, exhibit, reber, series
from .grammar import SYMBOLS


def _assets(description: Description) -> dict[str, bytes]:
    return {"task.json": description.to_bytes()}


def _grammar(about: str, samples: tuple[str, ...]) -> Description:
    return Description(
        task="text-generation",
        about=about,
        read=TextRead(input="tokens", tokenizer=Characters(symbols=tuple(SYMBOLS))),
        write=GenerateWrite(output="logits", length=50, end=SYMBOLS.index("E"), start="B"),
        samples=samples,
    )


REBER = System(
    name="reber",
    build=reber.build,
    train=reber.train,
    face=reber.FACE,
    assets=partial(_assets, _grammar("Goes on with a string of Reber's grammar.", ("BT", "BPVP"))),
    held_out=partial(reber.examples, embedded=False),
    evaluate=reber.evaluate,
    metric=Metric(name="strings right", unit="%", digits=1),
    exhibit=exhibit.show_reber,
)

# A string's E ends it only at its own end: the embedded one has an E of its own before.
EMBEDDED_REBER = System(
    name="embedded-reber",
    build=reber.build_embedded,
    train=reber.train_embedded,
    face=reber.FACE,
    assets=partial(
        _assets,
        Description(
            task="text-generation",
            about="Goes on with a string of the embedded Reber grammar, whose second symbol comes back at its end.",
            read=TextRead(input="tokens", tokenizer=Characters(symbols=tuple(SYMBOLS))),
            write=GenerateWrite(output="logits", length=12, start="B"),
            samples=("BTBTXSE", "BPBTXSE"),
        ),
    ),
    held_out=partial(reber.examples, embedded=True),
    evaluate=reber.evaluate_embedded,
    metric=Metric(name="strings right", unit="%", digits=1),
    int8_budget=0.01,
    exhibit=exhibit.show_embedded_reber,
)

MACKEY_GLASS = System(
    name="mackey-glass",
    build=series.build,
    train=series.train,
    face=series.FACE,
    assets=partial(
        _assets,
        Description(
            task="forecast",
            about="Foretells eight values of a Mackey-Glass series of delay 17, read every 6 units of time.",
            read=SeriesRead(tables=(Table(input="x", columns=("x",)),), least_rows=series.WARMUP),
            write=ForecastWrite(output="forecast", name="x", over_time="last"),
        ),
    ),
    held_out=series.held_out,
    evaluate=series.evaluate,
    metric=Metric(name="NRMSE 84 ahead", higher_is_better=False, digits=3),
    exhibit=exhibit.show_mackey_glass,
)

DIGITS = System(
    name="digits",
    build=digits.build,
    train=digits.train,
    face=digits.FACE,
    assets=partial(
        _assets,
        Description(
            task="image-classification",
            about="Names a handwritten digit, dark on light paper, after reading it pixel by pixel.",
            read=ImageRead(input="x", height=digits.SIDE, width=digits.SIDE, channels=1, layout="NPC", invert=True),
            write=LabelsWrite(
                output="logits", labels=tuple(str(digit) for digit in range(digits.CLASSES)), over_time="last"
            ),
        ),
    ),
    held_out=digits.held_out,
    evaluate=digits.evaluate,
    metric=Metric(name="accuracy", unit="%", digits=1),
    int8_budget=0.01,
    exhibit=exhibit.show_digits,
)

ADDING = System(
    name="adding",
    build=adding.build,
    train=adding.train,
    face=adding.FACE,
    assets=partial(
        _assets,
        Description(
            task="adding",
            about="Adds up the two values of a long series that are marked with 1; the others are marked with 0.",
            read=SeriesRead(tables=(Table(input="x", columns=("value", "mark")),), least_rows=2),
            write=ForecastWrite(output="total", name="sum", over_time="last"),
        ),
    ),
    held_out=adding.held_out,
    evaluate=adding.evaluate,
    metric=Metric(name="sums right", unit="%", digits=1),
    int8_budget=0.02,
    exhibit=exhibit.show_adding,
)
