"""Training utterances that might have been recorded on another day: the same speaker, another session.

The test split was recorded on other occasions than the training split, and what separates two occasions of one
speaker is above all a slow shift of the whole cepstrum. How large it is in which direction is estimated from the
training utterances themselves: what is left of each after its speaker's average is taken away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .data import NUM_FEATURES, NUM_SPEAKERS

if TYPE_CHECKING:
    import numpy.typing as npt

    from .data import Split

# To describe an utterance by a few points it is first brought to this many frames for each of them.
_FRAMES_PER_POINT = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How strongly a training utterance is varied; zeros (and a warp of 1) leave it as it is.

    Attributes:
        session: size of the session shift, in standard deviations of the shifts seen within a speaker.
        points: times at which a shift is drawn, from the first frame to the last; between them it is interpolated.
        gain: standard deviation of a factor per feature, around 1.
        noise: standard deviation of what is added to every value, in standard deviations of its feature.
        warp: an utterance becomes at most this factor longer or shorter.
    """

    session: float = 2.0
    points: int = 2
    gain: float = 0.2
    noise: float = 0.4
    warp: float = 1.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """What a training split tells about the differences between utterances of one speaker.

    Attributes:
        std: float32 `(features,)`, the standard deviation of each feature over all frames.
        residuals: float64 `(utterances, points * features)`, each utterance less its speaker's average.
        points: the number of points in time.
    """

    std: npt.NDArray[np.float32]
    residuals: npt.NDArray[np.float64]
    points: int


def measure(split: Split, *, points: int) -> Variation:
    """Estimate how utterances of one speaker differ, from utterances whose speakers are known."""
    averages = np.stack([_averages(utterance, points).ravel() for utterance in split.utterances])
    residuals = averages.copy()
    for speaker in range(NUM_SPEAKERS):
        own = split.labels == speaker
        residuals[own] -= averages[own].mean(axis=0) if own.any() else 0.0
    std = np.concatenate(split.utterances).std(axis=0)
    return Variation(std=std, residuals=residuals, points=points)


def augment(
    utterance: npt.NDArray[np.float32],
    variation: Variation,
    settings: Augmentation,
    generator: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Vary one utterance.

    Args:
        utterance: float32 `(time, features)`.
        variation: of the training split, measured at `settings.points` points.
        settings: how strongly.
        generator: where the chance comes from; the same state gives the same answer.

    Returns:
        float32 `(other time, features)`.
    """
    factor = math.exp(generator.uniform(-1.0, 1.0) * math.log(settings.warp))
    varied = resample(utterance, max(2, round(len(utterance) * factor)))
    varied *= 1.0 + settings.gain * generator.standard_normal(NUM_FEATURES)
    # A random sum of the residuals has exactly their covariance, over features and points together, without
    # estimating it (which would be singular for few utterances).
    weights = generator.standard_normal(len(variation.residuals)) / math.sqrt(len(variation.residuals))
    shift = settings.session * (weights @ variation.residuals).reshape(variation.points, NUM_FEATURES)
    varied += resample(shift, len(varied))
    varied += settings.noise * variation.std * generator.standard_normal(varied.shape)
    return varied.astype(np.float32)


def resample(frames: npt.NDArray[np.floating], time: int) -> npt.NDArray[np.float64]:
    """Interpolate linearly: `(any time, features)` -> float64 `(time, features)`, with the same two ends."""
    if len(frames) == 1:
        return np.repeat(frames, time, axis=0).astype(np.float64)
    position = np.linspace(0.0, len(frames) - 1, time)
    before = np.minimum(position.astype(np.int64), len(frames) - 2)
    share = (position - before)[:, np.newaxis]
    between: npt.NDArray[np.float64] = (1.0 - share) * frames[before] + share * frames[before + 1]
    return between


def _averages(utterance: npt.NDArray[np.float32], points: int) -> npt.NDArray[np.float64]:
    """The averages of `points` equal parts of an utterance: float64 `(points, features)`."""
    frames = resample(utterance, points * _FRAMES_PER_POINT)
    averages: npt.NDArray[np.float64] = frames.reshape(points, _FRAMES_PER_POINT, NUM_FEATURES).mean(axis=1)
    return averages
