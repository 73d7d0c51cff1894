"""What is reached without any memory: a logistic regression on each patient's last values, and the Mayo score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.pbcseq import COLUMNS
from .model import SKEWED

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Strength of the ridge, in standard deviations of the features; and Newton steps, which converge long before.
_RIDGE, _STEPS = 1.0, 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Regression:
    """A logistic regression.

    Attributes:
        mean: float64 `(features,)`.
        std: float64 `(features,)`.
        weights: float64 `(features + 1,)`, the constant last.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    weights: NDArray[np.float64]


def fit_regression(values: NDArray[np.float64], events: NDArray[np.bool_]) -> Regression:
    """Fit by Newton's method, with a ridge on all but the constant.

    Args:
        values: float64 `(patients, 14)`, as of :data:`COLUMNS`; what is missing becomes the mean.
        events: bool `(patients,)`.
    """
    features = _features(values)
    mean, std = np.nanmean(features, axis=0), np.nanstd(features, axis=0) + 1e-9
    design = _design(features, mean, std)
    ridge = np.diag([*[_RIDGE] * (design.shape[1] - 1), 0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (events - chance) - ridge @ weights
        curvature = (design * (chance * (1 - chance))[:, np.newaxis]).T @ design + ridge
        weights = weights + np.linalg.solve(curvature, slope)
    return Regression(mean=mean, std=std, weights=weights)


def regress(regression: Regression, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logit of each patient's risk: float64 `(patients,)`."""
    found: NDArray[np.float64] = _design(_features(values), regression.mean, regression.std) @ regression.weights
    return found


def mayo_score(values: NDArray[np.float64], years: NDArray[np.int64]) -> NDArray[np.float64]:
    """The Mayo risk score, float64 `(patients,)`.

    E. R. Dickson et al. (1989), "Prognosis in primary biliary cirrhosis: model for decision making", Hepatology 10(1):
    `0.871 ln(bilirubin) - 2.53 ln(albumin) + 0.039 age + 2.38 ln(prothrombin time) + 0.859 edema`. It was made from
    first visits of these very patients, so it is at home here.

    Args:
        values: float64 `(patients, 14)`, as of :data:`COLUMNS`; the age is the one at the first visit.
        years: since the first visit.
    """
    by_name = dict(zip(COLUMNS, values.T, strict=True))
    score: NDArray[np.float64] = (
        0.871 * np.log(by_name["bili"])
        - 2.53 * np.log(by_name["albumin"])
        + 0.039 * (by_name["age"] + years)
        + 2.38 * np.log(by_name["protime"])
        + 0.859 * by_name["edema"]
    )
    return score


def _features(values: NDArray[np.float64]) -> NDArray[np.float64]:
    skewed = np.array([name in SKEWED for name in COLUMNS])
    return np.where(skewed, np.log(np.where(skewed, values, 1.0)), values)


def _design(features: NDArray[np.float64], mean: NDArray[np.float64], std: NDArray[np.float64]) -> NDArray[np.float64]:
    normalised = (np.where(np.isfinite(features), features, mean) - mean) / std
    return np.hstack((normalised, np.ones((len(features), 1))))
