"""The control policy as a system of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.tasks.description import Description, LabelsWrite, SeriesRead, Table
from ..zoo.system import Face, Metric, Score, System
from . import memoryless
from .cartpole import STEPS
from .episodes import HELD_OUT, last
from .exhibit import exhibit
from .model import HIDDEN, build
from .recipe import train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner

    Decide = Callable[[NDArray[np.float32]], NDArray[np.bool_]]

FACE = Face(
    inputs=("observations: float32[batch, time, 2]",),
    states=(f"h_0: float32[batch, 1, {HIDDEN}]",),
    outputs=("logits", "h_n"),
    new_states=("h_n",),
    streaming="on",
)

#: Share of the pushes that chance decides in the harder half of the score.
_WOBBLE = 0.2


def describe() -> Description:
    """What ``task.json`` says: what was seen so far, a row each 20 ms, to the push of now."""
    return Description(
        task="control",
        about="Keeps a pole upright on a cart: the push of now, from what was seen of the cart so far, each 20 ms.",
        read=SeriesRead(tables=(Table(input="observations", columns=("position", "angle")),)),
        write=LabelsWrite(output="logits", labels=("left", "right"), over_time="last"),
    )


def evaluate(runner: Runner, examples: Sequence[int]) -> Score:
    """How many steps, of 500, the pole stays up: 100 episodes side by side, answered step by step.

    Args:
        runner: what decides, through :meth:`rnnx.models.zoo.system.Runner.stream`.
        examples: the episodes' seeds.
    """
    blind = memoryless.load()
    steps = last(_deciding(runner), examples)
    wobbling = last(_deciding(runner), examples, wobble=_WOBBLE)
    share = f"{_WOBBLE:.0%} of the pushes by chance"
    details = {
        "episodes that last to the end": float((steps == STEPS).mean()),
        share: float(wobbling.mean()),
        "without memory": float(last(blind, examples).mean()),
        f"without memory, {share}": float(last(blind, examples, wobble=_WOBBLE).mean()),
    }
    return Score(value=float(steps.mean()), count=len(examples), details=details)


def _deciding(runner: Runner) -> Decide:
    stream = runner.stream()

    def decide(seen: NDArray[np.float32]) -> NDArray[np.bool_]:
        logits = stream.push({"observations": seen[:, np.newaxis]})["logits"]
        return np.asarray(logits[:, 0, 1] > logits[:, 0, 0])

    return decide


POLICY = System(
    name="policy",
    build=build,
    train=train,
    face=FACE,
    assets=lambda: {"task.json": describe().to_bytes()},
    held_out=lambda: HELD_OUT,
    evaluate=evaluate,
    metric=Metric(name="steps of 500", digits=1),
    int8_budget=5.0,
    exhibit=exhibit,
)
