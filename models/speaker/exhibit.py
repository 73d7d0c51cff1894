"""What speaker recognition shows in the gallery: who was taken for whom, and voices that are heard a while longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.session import load as load_bundle
from ..ragged import pad
from ..zoo.gallery.exhibit import Exhibit, Picture
from ..zoo.gallery.plots import Panel, heatmap, lines
from .data import NUM_SPEAKERS, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ...runtime.session import Session

#: Milliseconds from one frame to the next, and how many coefficients are drawn.
_FRAME_MS, _DRAWN = 6.4, 3


def exhibit(bundle: Path) -> Exhibit:
    """The confusions of all held-out utterances, and two utterances heard longer and longer."""
    test = load("test")
    heard = [_beginnings(one) for one in test.utterances]
    with load_bundle(bundle, provider="cpu") as session:
        found = _shares(session, [part for parts in heard for part in parts])
    shares = np.split(found, np.cumsum([len(parts) for parts in heard])[:-1])
    told = np.array([one[-1].argmax() for one in shares])
    right = told == test.labels
    # Of those that end right the one that was wrong for longest, and of those that end wrong the longest.
    astray = [(one.argmax(axis=1) != label).sum() for one, label in zip(shares, test.labels, strict=True)]
    turned = int(np.where(right, astray, -1).argmax())
    missed = int(np.where(right, -1, [len(parts) for parts in heard]).argmax())
    pieces = [_confusions(test.labels, told)]
    for one, what in ((turned, "Right in the end"), (missed, "Wrong in the end")):
        pieces.append(_growing(test.utterances[one], shares[one], int(test.labels[one]), what))
    return Exhibit(
        about="Which of nine men says the vowels /ae/, in 370 held-out utterances of 7 to 29 frames; and what would be "
        "said if an utterance ended earlier.",
        pieces=tuple(pieces),
    )


def _beginnings(utterance: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The first frame, the first two, and so on: float32 ``(frames, 12)`` each."""
    return [utterance[:end] for end in range(1, len(utterance) + 1)]


def _shares(session: Session, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """The probability of each speaker, float64 ``(utterances, 9)``."""
    features, lengths = pad(utterances)
    logits = session.run({"features": features}, lengths)["logits"].astype(np.float64)
    above = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = above / above.sum(axis=1, keepdims=True)
    return found


def _confusions(true: NDArray[np.int64], told: NDArray[np.int64]) -> Picture:
    counts = np.zeros((NUM_SPEAKERS, NUM_SPEAKERS), np.int64)
    np.add.at(counts, (true, told), 1)
    wrong = [f"{one + 1} for {other + 1}" for one, other in zip(true, told, strict=True) if one != other]
    names = [str(number) for number in range(1, NUM_SPEAKERS + 1)]
    # Darkened where the share is small: nearly all is on the diagonal.
    return Picture(
        png=heatmap(
            np.sqrt(counts / counts.sum(axis=1, keepdims=True)),
            columns=names,
            rows=[f"speaker {name}" for name in names],
            title="told, by who it was (square root of the share)",
        ),
        about=f"{np.trace(counts)} of {counts.sum()} are right; one each was taken: {', '.join(wrong)}.",
    )


def _growing(utterance: NDArray[np.float32], shares: NDArray[np.float64], speaker: int, what: str) -> Picture:
    """Coefficients and, below, the probability of the speakers that come first at any time."""
    times = np.arange(1, len(utterance) + 1) * _FRAME_MS
    leading = sorted({speaker, *shares.argmax(axis=1).tolist()})
    coefficients = {f"LPC cepstrum {number + 1}": (times, utterance[:, number]) for number in range(_DRAWN)}
    voices = {f"speaker {one + 1}": (times, shares[:, one]) for one in leading}
    return Picture(
        png=lines(
            Panel(series=coefficients, ylabel="coefficient"),
            Panel(series=voices, ylabel="probability", low=0.0, high=1.02),
            xlabel="milliseconds that were heard",
        ),
        about=f"{what}: speaker {speaker + 1} is told with {shares[len(utterance) // 2 - 1, speaker]:.0%} after half "
        f"of {len(utterance)} frames and with {shares[-1, speaker]:.0%} after all.",
    )
