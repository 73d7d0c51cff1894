"""`fit`: from a module with fresh weights to a trained one."""

from __future__ import annotations

import math
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...errors import TrainingError
from .history import Log, Record
from .nests import detach, map_tensors, move
from .saving import Position, Saved, read, write
from .seeding import forked, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .recipe import Recipe

    #: The batches of one epoch, from a generator that is the epoch's own.
    Batches: TypeAlias = Callable[[np.random.Generator], Iterator[Any]]
    #: From the module, a batch, and the state that the batch before left: the loss, and the state to go on with.
    Loss: TypeAlias = Callable[[Any, Any, Any], tuple[torch.Tensor, Any]]
    Report: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """What came of a training.

    Attributes:
        module: the module that was given, on the processor, in eval mode, with the weights of the best validation; or,
            where nothing validated it, with the averaged or the last weights.
        steps: optimiser steps that were made.
        best: the best score of a validation; None where nothing validated it.
        history: a record of each step.
    """

    module: nn.Module
    steps: int
    best: float | None
    history: tuple[Record, ...]


def fit(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    recipe: Recipe,
    *,
    validate: Callable[[Any], float] | None = None,
    higher_is_better: bool = True,
    folder: Path | None = None,
    report: Report | None = None,
) -> Fitted:
    """Train a module; the same arguments give the same bits on one machine, cut off in between or not.

    The caller's random numbers and torch's number of threads are as before when this is done.

    Args:
        module: with fresh weights. It is trained in place.
        batches: the batches of one epoch, each a nest of tensors in tuples, lists and dicts. It is called anew for each
            epoch with a generator that follows from the seed and the epoch's number, and must draw from nothing else:
            a training that goes on skips to its place by drawing the epoch's first batches again.
        loss: from the module, a batch, and the state that the batch before it left (None for an epoch's first), the
            loss as a scalar tensor and the state to go on with. The state, a nest of tensors, is detached in between:
            truncated back-propagation through time (Williams and Peng 1990, doi:10.1162/neco.1990.2.4.490). A model
            that begins every batch anew gives None. Tensors are on the recipe's device.
        recipe: how.
        validate: a score of the module in eval mode, without gradients. It must not look at held-out examples.
        higher_is_better: whether a higher score is better.
        folder: where ``training.pt`` is written at each validation, from which a later call with the same arguments
            goes on, and ``log.jsonl``, a line for each step. It is made where it is missing. None writes nothing.
        report: called after each step with the step, the steps in all and a line of figures.

    Raises:
        TrainingError: the loss, the gradient or the score is not finite, or an epoch has no batch.
        CheckpointError: the folder holds a training of another recipe or model, or a file that cannot be read.
        InputError: the module has nothing to train, or the device is not here.
    """
    device = recipe.resolve_device()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with _threads(recipe.threads), seeded(recipe.seed, device):
        saved = None if folder is None else read(folder, recipe, module)
        run = _Run(module.to(device), recipe, device, validate=validate, sign=1 if higher_is_better else -1)
        if saved is not None:
            run.restore(saved)
        with closing(Log(folder, [] if saved is None else saved.records)) as log:
            for record, saving in run.steps(batches, loss, None if saved is None else saved.random):
                log.append(record)
                if saving and folder is not None:
                    write(folder, recipe, module, run.save(log.records))
                if report is not None:
                    report(record.step, recipe.steps, run.describe(record))
        run.finish()
    at = run.position
    return Fitted(module=module.cpu().eval(), steps=at.step, best=at.best, history=tuple(log.records))


class _Run:
    """One training between its steps."""

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        device: torch.device,
        *,
        validate: Callable[[Any], float] | None,
        sign: int,
    ) -> None:
        self.position = Position()
        self._module, self._recipe, self._device = module, recipe, device
        self._validate, self._sign = validate, sign
        self._score: float | None = None  # of the last validation
        self._parts: dict[str, Any] = {"module": module}
        self._optimizer = self._parts["optimizer"] = recipe.make_optimizer(module)
        self._schedule = self._parts["schedule"] = recipe.make_schedule(self._optimizer)
        self._average: AveragedModel | None = None
        if recipe.average_decay is not None:
            moving = get_ema_multi_avg_fn(recipe.average_decay)  # type: ignore[no-untyped-call]
            self._average = self._parts["average"] = AveragedModel(module, multi_avg_fn=moving)

    def restore(self, saved: Saved) -> None:
        """Stand where ``saved`` stands."""
        for name, part in self._parts.items():
            part.load_state_dict(saved.parts[name])
        self.position = replace(saved.position, carried=move(saved.position.carried, self._device))
        self._score = next((one.score for one in reversed(saved.records) if one.score is not None), None)

    def save(self, records: list[Record]) -> Saved:
        """All that :meth:`restore` and :meth:`steps` need."""
        random = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self._device)
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return Saved(position=self.position, parts=parts, random=random, records=records)

    def steps(
        self, batches: Batches, loss: Loss, random: dict[str, torch.Tensor] | None
    ) -> Iterator[tuple[Record, bool]]:
        """Make the steps that are left; for each its record, and whether now is a time to save."""
        if self.position.stopped:
            return
        for epoch, taken, batch in self._feed(batches, random):
            at = self.position
            self._module.train()
            record, carried = self._step(loss, batch, at.carried if taken > 1 else None, at.step + 1)
            self.position = replace(at, step=record.step, epoch=epoch, taken=taken, carried=carried)
            last = record.step == self._recipe.steps
            saving = last or record.step % self._recipe.interval == 0
            if saving and self._validate is not None:
                record = replace(record, score=self._judge(self._validate))
            waited, patience = self.position.waited, self._recipe.patience
            stopped = last or (patience is not None and waited >= patience)
            self.position = replace(self.position, stopped=stopped)
            yield record, saving
            if stopped:
                return

    def _feed(self, batches: Batches, random: dict[str, torch.Tensor] | None) -> Iterator[tuple[int, int, Any]]:
        """Batches from where the training stands on, each with its epoch and its number in it, from 1."""
        epoch, skipped = self.position.epoch, self.position.taken
        while True:
            drawn = iter(batches(np.random.default_rng((self._recipe.seed, epoch))))
            taken = sum(1 for _ in islice(drawn, skipped))
            if taken < skipped:
                message = f"epoch {epoch} has {taken} batches and {skipped} of it were taken already: other data?"
                raise TrainingError(f"the training cannot go on: {message}")
            if random is not None:
                torch.set_rng_state(random["cpu"])
                if "cuda" in random and self._device.type == "cuda":
                    torch.cuda.set_rng_state(random["cuda"], self._device)
            for batch in drawn:
                taken += 1
                yield epoch, taken, move(batch, self._device)
            if taken == 0:
                raise TrainingError(f"'batches' gave no batch for epoch {epoch}; an epoch needs at least one.")
            epoch, skipped, random = epoch + 1, 0, None

    def _step(self, loss: Loss, batch: Any, carried: Any, step: int) -> tuple[Record, Any]:  # noqa: ANN401  (any nest)
        value, carried = loss(self._module, batch, carried)
        self._check("loss", value.item(), step)
        self._optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._module.parameters(), self._recipe.clip_norm).item()
        self._check("norm of the gradient", norm, step)
        rate = float(self._optimizer.param_groups[0]["lr"])
        self._optimizer.step()
        self._schedule.step()
        if self._average is not None:
            self._average.update_parameters(self._module)
        return Record(step=step, loss=value.item(), grad_norm=norm, learning_rate=rate), detach(carried)

    def _judge(self, validate: Callable[[Any], float]) -> float:
        """Validate, and keep the weights if they are the best so far."""
        judged = self._module if self._average is None else self._average.module
        judged.eval()
        # What a validation draws is no part of the training.
        with forked(self._device), torch.inference_mode():
            self._score = float(validate(judged))
        at = self.position
        self._check("score of the validation", self._score, at.step)
        if at.best is not None and self._sign * self._score <= self._sign * at.best:
            self.position = replace(at, waited=at.waited + 1)
        else:
            weights = map_tensors(lambda tensor: tensor.detach().cpu().clone(), dict(judged.state_dict()))
            self.position = replace(at, waited=0, best=self._score, best_weights=weights)
        return self._score

    def finish(self) -> None:
        """Put the weights that are kept into the module."""
        if self.position.best_weights is not None:
            self._module.load_state_dict(self.position.best_weights)
        elif self._average is not None:
            self._module.load_state_dict(self._average.module.state_dict())

    def describe(self, record: Record) -> str:
        """A line of figures."""
        score = "" if self._score is None else f"  val {self._score:.4g}"
        return f"loss {record.loss:.4g}  norm {record.grad_norm:.3g}{score}"

    def _check(self, what: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            advice = "Lower the learning rate or the clip norm, or look at the batch for values that are not finite."
            raise TrainingError(f"the {what} at step {step} is {value}. {advice}")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
