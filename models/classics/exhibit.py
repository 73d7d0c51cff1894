"""What the classics show in the gallery: each the point of its paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.session import load
from ...runtime.tasks import load_task
from ..ragged import pad
from ..zoo.gallery.exhibit import Exhibit, Picture, Text
from ..zoo.gallery.plots import Panel, heatmap, image, lines
from . import adding, digits, plain, reber, series
from .grammar import SYMBOLS, encode, right, successors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..zoo.gallery.exhibit import Piece

#: Strings of the grammar that the bundle writes, and the length of the embedded one that is drawn.
_WRITTEN, _LENGTH = 6, 20
#: The series that is drawn, how many of its values before it goes on alone, and how many after.
_SERIES, _BEFORE, _ALONE = 3, 30, 40
#: Units of time from one value to the next.
_APART = 6
#: Pictures whose first rows are exchanged, and what that shows.
_READ = 200
_MEMORY = (
    f"How many of {_READ} held-out answers turn when so many of a picture's first rows (across) are those of another "
    "picture. Where answers do not turn, the network has forgotten these rows, and names the rest."
)
#: The example of the adding problem that is drawn.
_SUM = 5


def show_reber(bundle: Path) -> Exhibit:
    """What may come after each symbol of a held-out string, and strings that the bundle writes."""
    string = next(one for one in reber.examples(embedded=False) if len(one) == _LENGTH)
    with load(bundle) as session:
        logits = session.run({"tokens": encode(string)[None, :-1]})["logits"][0]
    pieces: list[Piece] = [_next_symbols(logits, string, embedded=False)]
    with load_task(bundle) as task:
        for seed in range(_WRITTEN):
            written = f"B{task('B', seed=seed)}E"  # the E that ends it is drawn, and not said
            verdict = "a string of the grammar" if _allowed(written) else "no string of the grammar"
            pieces.append(Text(given="", answer=written, about=f"written by the bundle, seed {seed}: {verdict}"))
    return Exhibit(
        about="Elman's network learned from strings of Reber's grammar which symbols may come next. The symbol before "
        "does not tell that: after a T it may be S or X, or T or V.",
        pieces=tuple(pieces),
    )


def _allowed(string: str) -> bool:
    """Whether a string is of Reber's grammar."""
    try:
        successors(string, embedded=False)
    except KeyError:
        return False
    return True


def show_embedded_reber(bundle: Path) -> Exhibit:
    """The last symbol but one, which is known from the second one alone: by the LSTM and by Elman's network."""
    held_out = reber.examples(embedded=True)
    string = next(one for one in held_out if len(one) == _LENGTH)
    other = {"T": "P", "P": "T"}[string[1]]
    pair = (string, f"B{other}{string[2:-2]}{other}E")
    tokens, _ = pad([encode(one)[:-1] for one in held_out])
    theirs = plain.load("embedded_elman").run(np.eye(len(SYMBOLS), dtype=np.float32)[tokens])
    with load(bundle) as session:
        ours = session.run({"tokens": tokens})["logits"]
        drawn = [session.run({"tokens": encode(one)[None, :-1]})["logits"][0] for one in pair]
    lengths = np.array([len(one) for one in held_out])
    shown = [length for length in np.unique(lengths) if (lengths == length).sum() >= _WRITTEN]
    curves = {}
    for name, scores in (("LSTM", ours), ("Elman's network", theirs)):
        found = np.array([row[-2] for row in right(list(scores), held_out, embedded=True)])
        curves[name] = (np.array(shown), np.array([100 * found[lengths == one].mean() for one in shown]))
    panel = Panel(series=curves, ylabel="right, %", low=-4.0, high=104.0, level=50.0, level_name="a guess")
    png = lines(panel, xlabel="length of the string, symbols")
    return Exhibit(
        about="In the embedded grammar the second symbol comes back as the last but one, after a whole string of "
        "Reber's. The LSTM carries it over, and Elman's network, trained by the same recipe, does not. Below the LSTM "
        "reads two strings that are alike but for this symbol.",
        pieces=(
            Picture(png=png, about=f"The last symbol but one of {len(held_out)} held-out strings, by their length."),
            *(_next_symbols(told, one, embedded=True) for told, one in zip(drawn, pair, strict=True)),
        ),
    )


def _next_symbols(logits: NDArray[np.float32], string: str, *, embedded: bool) -> Picture:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    rows = right([logits], [string], embedded=embedded)[0]
    least = float(np.where(successors(string, embedded=embedded), shares, 0.0).sum(axis=1).min())
    about = (
        f"{string}: the probability of each symbol (down) after each symbol that was read (across). Those that may "
        f"come score above those that may not at {rows.sum()} of {len(rows)} steps, and have at least {least:.1%} of "
        "the probability at each."
    )
    return Picture(png=heatmap(shares.T, columns=list(string[:-1]), rows=list(SYMBOLS)), about=about)


def show_mackey_glass(bundle: Path) -> Exhibit:
    """A series, and how the bundle goes on with it alone."""
    known = series.WARMUP + series.SCORED
    # Drawn as the held-out ones are, but longer, so that more of the free run can be compared.
    truth = series.draw(np.random.default_rng(0), _SERIES + 1, known + _ALONE)[_SERIES]
    with load(bundle, mode="streaming") as session, session.stream() as stream:
        value = stream.push({"x": truth[None, :known, None]})["forecast"][:, -1:, :1]
        alone = [value]
        for _ in range(_ALONE - 1):
            alone.append(stream.push({"x": alone[-1]})["forecast"][:, :, :1])
    told = np.concatenate([truth[known - 1 : known], np.concatenate(alone, axis=1)[0, :, 0]])
    png = lines(
        Panel(
            series={
                "the series": (np.arange(1 - _BEFORE, _ALONE + 1) * _APART, truth[known - _BEFORE :]),
                "the network alone": (np.arange(_ALONE + 1) * _APART, told),
            },
            marks=[(series.FREE * _APART - 1.0, series.FREE * _APART + 1.0)],
            mark_name="84 ahead, which is scored",
            ylabel="x",
        ),
        xlabel="units of time from the last value that was read",
    )
    return Exhibit(
        about="Jordan's network, whose memory is its own forecasts, reads 200 values of a chaotic series and goes on "
        "from its own forecasts alone. Small errors grow, as they must.",
        pieces=(Picture(png=png, about="A held-out Mackey-Glass series of delay 17, and the network's free run."),),
    )


def show_digits(bundle: Path) -> Exhibit:
    """A digit that is named right and one that is not, and what the bundle thinks pixel by pixel."""
    pixels, labels = digits.held_out()
    with load(bundle) as session:
        logits = session.run({"x": pixels})["logits"]
    shares = np.exp(logits - logits.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    told = shares[:, -1].argmax(axis=1)
    rows = [int(np.flatnonzero(told == labels)[0]), *np.flatnonzero(told != labels)[:1].tolist()]
    pieces: list[Piece] = []
    for row in rows:
        ink = (255 - 255 * pixels[row, :, 0].reshape(digits.SIDE, digits.SIDE)).astype(np.uint8)
        verdict = "right" if told[row] == labels[row] else f"wrong, its writer meant {labels[row]}"
        pieces += [
            Picture(png=image(ink, scale=14), about=f"Named {told[row]}, {verdict}."),
            Picture(
                png=heatmap(shares[row].T, rows=[str(digit) for digit in range(digits.CLASSES)]),
                about="The probability of each digit (down) after each pixel (across), row by row of the picture.",
            ),
        ]
    pieces.append(Picture(png=_memory(bundle, pixels[:_READ]), about=_MEMORY))
    return Exhibit(
        about="Rectified units that begin at the identity (IRNN) read a digit's 256 pixels one by one and name it "
        "after the last. The last picture shows how far back they remember, beside other networks.",
        pieces=tuple(pieces),
    )


def _memory(bundle: Path, pixels: NDArray[np.float32]) -> bytes:
    """How many answers turn when the first rows are those of another picture, by each network."""
    strange = np.roll(pixels, 1, axis=0)
    rows = np.arange(0, digits.SIDE + 1, 2)
    feeds = [np.concatenate([strange[:, : one * digits.SIDE], pixels[:, one * digits.SIDE :]], axis=1) for one in rows]
    curves = {}
    with load(bundle) as session:
        curves["IRNN"] = [session.run({"x": feed})["logits"][:, -1].argmax(axis=1) for feed in feeds]
    for other in digits.OTHERS:
        network = other.load()
        curves[other.about] = [network.run(feed)[:, -1].argmax(axis=1) for feed in feeds]
    series = {
        about: (rows, np.array([100 * (one != told[0]).mean() for one in told])) for about, told in curves.items()
    }
    return lines(
        Panel(series=series, ylabel="answers that turn, %", low=0.0), xlabel="first rows that are of another picture"
    )


def show_adding(bundle: Path) -> Exhibit:
    """The answer while an example is read, and the error over how long the first number is to be kept."""
    x, total = adding.held_out()
    with load(bundle) as session:
        ours = np.concatenate([session.run({"x": part})["total"][..., 0] for part in np.array_split(x, 8)])
    others = {other.about: other.load().run(x)[..., 0] for other in adding.OTHERS}
    answers = {"LSTM": ours, **others}
    steps = np.arange(x.shape[1])
    marked = np.flatnonzero(x[_SUM, :, 1])
    one = lines(
        Panel(
            series={name: (steps, answers[name][_SUM]) for name in ("LSTM", adding.OTHERS[0].about)},
            marks=[(float(step) - 0.5, float(step) + 0.5) for step in marked],
            mark_name="marked steps",
            level=float(total[_SUM]),
            level_name="sum of the marked values",
            ylabel="answer",
        ),
        xlabel="step",
    )
    kept = x.shape[1] - 1 - np.array([np.flatnonzero(row)[1] for row in x[..., 1]])  # the first mark is always early
    stretches = np.array_split(np.argsort(kept), 10)
    middle = np.array([kept[some].mean() for some in stretches])
    errors = {name: np.abs(answer[:, -1] - total) for name, answer in answers.items()}
    lag = lines(
        Panel(
            series={
                name: (middle, np.array([error[some].mean() for some in stretches])) for name, error in errors.items()
            },
            level=adding.RIGHT,
            level_name="right below",
            ylabel="mean error",
            low=0.0,
        ),
        xlabel="steps from the second number to the end",
    )
    return Exhibit(
        about="Two of 210 values are marked, the first of them some 200 steps before the end, and their sum is asked "
        "for. Elman's network, trained by the same recipe, says about 1 whatever they are. Rectified units that begin "
        "at the identity (IRNN) and a GRU, after a third of its steps, come close.",
        pieces=(
            Picture(png=one, about="The answer while one held-out example is read; only the last is asked for."),
            Picture(png=lag, about=f"The error over {len(total)} held-out examples, by how far back the second is."),
        ),
    )
