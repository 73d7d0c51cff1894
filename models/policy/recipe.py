"""How the policy learns: it drives, and at every state that it comes to the teacher says what it would have done.

Ross, Gordon and Bagnell (2011), "A reduction of imitation learning and structured prediction to no-regret online
learning" (DAgger), AISTATS; here each step learns from the episodes that the policy drives at that time, and no others
are kept. The teacher sees the whole state; the policy sees positions alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..training import Recipe, fit, seeded
from .cartpole import CartPoles
from .episodes import FIRST_LEARNED, VALIDATION, last
from .expert import wanted
from .model import HIDDEN, build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..zoo.system import Training

RECIPE = Recipe(steps=300, batch_size=32, learning_rate=1e-2, weight_decay=0.0, validate_every=25)

#: The largest share of pushes of an episode that chance decides, so that states are seen which a good policy avoids.
_WOBBLE = 0.3
#: Below this share of the force the teacher hardly minds which way; its answer is so much softer there.
_SOFT = 0.2


def train(training: Training) -> nn.Module:
    """Train the policy; everything is simulated, so ``training.data`` is not needed."""
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        policy = build()
    return imitate(policy, recipe, training)


def imitate(policy: nn.Module, recipe: Recipe, training: Training) -> nn.Module:
    """Train any network of the policy's face."""

    def batches(generator: np.random.Generator) -> Iterator[tuple[torch.Tensor, ...]]:
        # An epoch is one step: so what the policy drives depends on the weights of that step alone, and a training
        # that goes on after it was cut off drives the same.
        yield drive(policy, recipe.batch_size, generator)

    fitted = fit(
        policy,
        batches,
        _loss,
        recipe,
        validate=judge,
        folder=training.folder,
        report=training.report,
    )
    return fitted.module


def drive(policy: nn.Module, count: int, generator: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """Let the policy drive, and ask the teacher at every step.

    Returns:
        What was seen, float32 ``(batch, time, 2)``; what the teacher wanted, float32 ``(batch, time)``, as
        :func:`rnnx.models.policy.expert.wanted` tells it; and 1 where the episode still ran, float32 ``(batch, time)``.
    """
    poles = CartPoles(generator.integers(FIRST_LEARNED, 2**31, size=count))
    wobble = generator.uniform(0, _WOBBLE, size=count)
    seen, teacher, running = [], [], []
    decide = _Driver(policy, count)
    while poles.running.any():
        seen.append(poles.observe())
        teacher.append(wanted(poles.state))
        running.append(poles.running)
        right = np.where(generator.random(count) < wobble, generator.random(count) < 0.5, decide(seen[-1]))
        poles.push(right)
    stacked = (np.stack(arrays, axis=1).astype(np.float32) for arrays in (seen, teacher, running))
    return tuple(torch.from_numpy(array) for array in stacked)


def judge(policy: nn.Module) -> float:
    """How many steps, of 500, it lasts on average where chance decides a share of the pushes.

    Without chance most policies last to the end, and which is the best could not be told.
    """
    return float(last(_Driver(policy, len(VALIDATION)), VALIDATION, wobble=_WOBBLE).mean())


class _Driver:
    """A policy at work on a batch of episodes."""

    def __init__(self, policy: nn.Module, count: int) -> None:
        self._policy = policy
        self._device = next(policy.parameters()).device
        self._state = torch.zeros(count, 1, HIDDEN, device=self._device)

    @torch.no_grad()
    def __call__(self, seen: NDArray[np.float32]) -> NDArray[np.bool_]:
        observations = torch.from_numpy(seen).to(self._device).unsqueeze(1)
        logits, self._state = self._policy(observations, self._state)
        right: NDArray[np.bool_] = (logits[:, 0, 1] > logits[:, 0, 0]).cpu().numpy()
        return right


def _loss(policy: nn.Module, batch: tuple[torch.Tensor, ...], _state: Any) -> tuple[torch.Tensor, None]:  # noqa: ANN401
    seen, teacher, running = batch
    logits, _ = policy(seen, seen.new_zeros(len(seen), 1, HIDDEN))
    right = logits[..., 1] - logits[..., 0]
    each = binary_cross_entropy_with_logits(right, torch.sigmoid(teacher / _SOFT), reduction="none")
    return (each * running).sum() / running.sum(), None
