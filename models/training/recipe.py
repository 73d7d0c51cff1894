"""`Recipe`: everything that decides a training, besides the model, the data and the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from ...errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from ..zoo.system import Training

Schedule: TypeAlias = Literal["one_cycle", "cosine", "constant"]

#: How often a recipe that does not say so is validated and saved.
_VALIDATIONS = 10

_POSITIVE = ("steps", "batch_size", "learning_rate", "clip_norm", "validate_every", "patience", "threads")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a model is trained.

    Attributes:
        steps: optimiser steps, if nothing stops it earlier.
        seed: of the batches' order and of whatever torch draws while training (dropout). Fresh weights are the
            caller's, who makes them under :func:`rnnx.models.training.seeded`.
        batch_size: for whoever makes the batches; :func:`rnnx.models.training.fit` takes them as they come.
        learning_rate: the highest.
        weight_decay: of AdamW.
        schedule: ``one_cycle`` (Smith and Topin 2017, "Super-convergence", arXiv:1708.07120: cosine up over the warm-up
            and down to nothing, AdamW's first moment against it), ``cosine`` (a straight line up over the warm-up, then
            half a cosine down to nothing) or ``constant`` (a straight line up over the warm-up, then level).
        warmup: share of the steps over which the learning rate rises, from 0 to below 1.
        clip_norm: the longest gradient that is taken as it is; ``inf`` clips nothing.
        average_decay: of the moving average of the weights, per step; the average is validated and kept. None keeps
            the weights themselves.
        validate_every: steps from one validation (and saving) to the next; None for a tenth of the steps. The last step
            is always validated.
        patience: validations in a row without a better score after which it stops; None never stops.
        threads: of torch on the processor. With one, the number of cores does not change the last bits of sums.
        device: ``cpu``, ``cuda``, ``cuda:1`` and so on; ``auto`` for ``cuda`` where there is one, else ``cpu``.
    """

    steps: int
    seed: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    schedule: Schedule = "one_cycle"
    warmup: float = 0.1
    clip_norm: float = 1.0
    average_decay: float | None = None
    validate_every: int | None = None
    patience: int | None = None
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InputError: a value is out of its range.
        """
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"a recipe's '{name}' is {value}; more than 0 is needed.")
        if self.seed < 0:
            raise InputError(f"a recipe's 'seed' is {self.seed}; 0 or more is needed.")
        if self.schedule not in get_args(Schedule):
            known = ", ".join(f"'{one}'" for one in get_args(Schedule))
            raise InputError(f"a recipe's 'schedule' is '{self.schedule}'; it may be {known}.")
        for name in ("warmup", "average_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise InputError(f"a recipe's '{name}' is {value}; 0 to below 1 is allowed.")

    def for_training(self, training: Training) -> Recipe:
        """The same recipe with the user's seed, and the user's number of steps where one was given."""
        return replace(self, seed=training.seed, steps=training.steps or self.steps)

    @property
    def interval(self) -> int:
        """Steps from one validation to the next."""
        return self.validate_every or max(1, self.steps // _VALIDATIONS)

    def resolve_device(self) -> torch.device:
        """The device that is meant.

        Raises:
            InputError: it is none, or is not here.
        """
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise InputError(f"a recipe's 'device' is '{name}', which torch does not know; use 'auto'.") from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise InputError(f"a recipe's 'device' is '{name}' and torch finds no CUDA device here; use 'auto'.")
        return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else device

    def make_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over the parameters that are trained."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not trained:
            raise InputError(f"the module '{type(module).__name__}' has no parameter to train.")
        return torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=self.weight_decay)

    def make_schedule(self, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """The learning rate of each step."""
        if self.schedule == "one_cycle":
            # Where the warm-up is exactly one step, OneCycleLR divides by the zero steps before its top.
            one = math.isclose(self.warmup * self.steps, 1.0)
            share = self.warmup * (1 - 1e-6) if one else self.warmup
            return OneCycleLR(optimizer, self.learning_rate, total_steps=self.steps, pct_start=share)
        rising, steps, falls = self.warmup * self.steps, self.steps, self.schedule == "cosine"

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / (rising + 1)  # never 0, or the first step would teach nothing
            return (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2 if falls else 1.0

        return LambdaLR(optimizer, factor)

    def differences(self, other: dict[str, object]) -> list[str]:
        """What another recipe, as a dict, says otherwise: ``'steps' 100 there and 200 here`` and so on."""
        pairs = [(one.name, other.get(one.name), getattr(self, one.name)) for one in fields(self)]
        return [f"'{name}' {there!r} there and {here!r} here" for name, there, here in pairs if there != here]
