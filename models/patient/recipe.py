"""How ``patient.safetensors`` was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from ..datasets.pbcseq import Patient, load
from ..training import Recipe, fit, seeded
from ..training.batches import shuffled
from .data import Visits, part_of, questions, until
from .model import DAYS_PER_YEAR, YEARS, PatientNet, build
from .scoring import together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..zoo.system import Training

    #: The three inputs, lengths, and for each row and year ahead whether it was lived through, and whether it ended so.
    Batch = tuple[torch.Tensor, ...]

RECIPE = Recipe(
    steps=300,
    batch_size=48,
    learning_rate=5e-3,
    weight_decay=1.0,
    schedule="one_cycle",
    average_decay=0.98,
    validate_every=25,
)

#: A patient is asked about on a random day from here on, in years, in each epoch another one.
_FIRST, _LAST = 0.25, 8.0
#: Weight of the visits themselves, beside the day that is asked about.
_VISITS_WEIGHT = 0.3
#: Share of measurements that are hidden in training, and noise on the others in standard deviations.
_HIDDEN, _NOISE = 0.2, 0.3


def train(training: Training) -> PatientNet:
    """Train the model.

    Raises:
        MissingDataError: the visits are neither installed nor in the folder that was given.
    """
    patients = load(training.data)
    return train_on(
        [one for one in patients if part_of(one.number) == "training"],
        [one for one in patients if part_of(one.number) == "validation"],
        training,
    )


def train_on(learned: Sequence[Patient], chosen_by: Sequence[Patient], training: Training) -> PatientNet:
    """Train the model on some patients, and choose the weights by others."""
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = build()
    normalise(module, learned)
    # Batches are made on the processor, wherever the module goes.
    spread, skewed = module.std.clone(), module.skewed.clone()
    judged = batch([(one, year * DAYS_PER_YEAR) for one, year, _ in questions(chosen_by)])

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        for rows in shuffled(len(learned), recipe.batch_size, generator):
            chosen = [learned[row] for row in rows]
            days = [_random_day(one, generator) for one in chosen]
            values, observed, *rest = batch(list(zip(chosen, days, strict=True)))
            hidden = torch.from_numpy((generator.random(values.shape) >= _HIDDEN).astype(np.float32))
            factors = torch.from_numpy(generator.standard_normal(values.shape).astype(np.float32) * _NOISE)
            # What is taken as its logarithm varies by a factor, the rest by a sum.
            noisy = torch.where(skewed > 0, values * torch.exp(factors * spread), values + factors * spread)
            yield (noisy, observed * hidden, *rest)

    fitted = fit(
        module,
        batches,
        _loss,
        recipe,
        validate=lambda module: float(_likelihood(module, judged)[:, -1].mean()),
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    )
    assert isinstance(fitted.module, PatientNet)
    return fitted.module


def normalise(module: PatientNet, patients: Sequence[Patient]) -> None:
    """Set the mean and the spread of each column to those of these patients' visits."""
    values = torch.from_numpy(np.concatenate([one.values for one in patients]))
    scaled = torch.where(module.skewed > 0, torch.log(values.clamp(min=1e-2)), values)
    module.mean.copy_(torch.nanmean(scaled, dim=0))
    module.std.copy_(torch.nanmean((scaled - module.mean) ** 2, dim=0).sqrt())


def batch(asked: Sequence[tuple[Patient, float]]) -> Batch:
    """Patients on days -> the model's inputs, and what came of each row.

    Returns:
        values, observed, gaps: float32 `(batch, time, 14)`; lengths: int64 `(batch,)`; survived and ended: float32
        `(batch, time, years)`, 1 where that year after the row was lived through, or ended in death or transplantation,
        and 0 in both where that is not known.
    """
    known = [until(patient, day) for patient, day in asked]
    lengths = torch.tensor([len(one.values) for one in known])
    inputs = [torch.from_numpy(together([getattr(one, name) for one in known])) for name in Visits.__slots__]
    outcomes = [_outcomes(patient, day) for patient, day in asked]
    return (*inputs, lengths, *(torch.from_numpy(together([one[i] for one in outcomes])) for i in range(2)))


def _outcomes(patient: Patient, day: float) -> tuple[np.ndarray, np.ndarray]:
    """Float32 `(rows, years)` twice: whether each year after a row was lived through, and whether it ended so."""
    days = np.append(patient.days[patient.days <= day], day)
    left = (patient.followed_days - days)[:, np.newaxis] / DAYS_PER_YEAR
    begins = np.arange(YEARS)
    survived = left >= begins + 1
    ended = (left >= begins) & ~survived & (patient.outcome != "alive")
    return survived.astype(np.float32), ended.astype(np.float32)


def _likelihood(module: PatientNet, one: Batch) -> torch.Tensor:
    """Negative log-likelihood of what came of each row, in nats: float32 `(batch, time)`, the asked day last."""
    values, observed, gaps, lengths, survived, ended = (part.to(module.mean.device) for part in one)
    logits = module.hazards(values, observed, gaps, lengths)
    nats = -(survived * functional.logsigmoid(-logits) + ended * functional.logsigmoid(logits)).sum(dim=2)
    # The last row of each patient goes to the last place.
    last = torch.take_along_dim(nats, lengths.unsqueeze(1) - 1, dim=1)
    return torch.cat((nats, last), dim=1)


def _loss(module: PatientNet, one: Batch, _: None) -> tuple[torch.Tensor, None]:
    """The likelihood on the day that is asked about, and with less weight on the visits before."""
    nats = _likelihood(module, one)
    lengths = one[3]
    visits = (torch.arange(nats.size(1) - 1, device=nats.device) < lengths.unsqueeze(1) - 1).float()
    before = (nats[:, :-1] * visits).sum() / visits.sum()
    return nats[:, -1].mean() + _VISITS_WEIGHT * before, None


def _random_day(patient: Patient, generator: np.random.Generator) -> float:
    """A day to ask about while the patient is still at risk: on the last day there is nothing left to foresee."""
    last = min(_LAST, (patient.followed_days - 1) / DAYS_PER_YEAR)
    return float(generator.uniform(min(_FIRST, last), last)) * DAYS_PER_YEAR
