"""The baseline: a network of the same size without a memory, trained in the same way.

Run ``python -m rnnx.models.policy.memoryless --output memoryless.npz`` to make its weights again.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch
from torch import Tensor, nn

from ...atomic import write_atomically
from ...bundle import npz_bytes
from ..training import seeded
from ..zoo.system import Training
from .cartpole import EDGE, LEANING
from .model import HIDDEN
from .recipe import RECIPE, imitate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WEIGHTS = Path(__file__).with_name("memoryless.npz")
_LAYERS = ("spread", "hidden", "head")


class Memoryless(nn.Module):
    """The policy's face, decided from the one observation alone: what remains where velocities cannot be known.

    Attributes:
        scale: float32 ``(2,)``, as in :class:`rnnx.models.policy.model.Policy`.
    """

    scale: Tensor

    def __init__(self, hidden_size: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([EDGE, LEANING]))
        self.spread = nn.Linear(2, hidden_size)
        self.hidden = nn.Linear(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, 2)

    def forward(self, observations: Tensor, h_0: Tensor) -> tuple[Tensor, Tensor]:
        """Decide; see :meth:`rnnx.models.policy.model.Policy.forward`. The state is handed on as it came."""
        hidden = torch.tanh(self.hidden(torch.tanh(self.spread(observations / self.scale))))
        logits: Tensor = self.head(hidden)
        return logits, h_0


def load(path: Path = WEIGHTS) -> Callable[[NDArray[np.float32]], NDArray[np.bool_]]:
    """The trained baseline in NumPy: from what is seen, float32 ``(batch, 2)``, to right or not, bool ``(batch,)``."""
    with np.load(path, allow_pickle=False) as archive:
        weights = dict(archive)

    def decide(seen: NDArray[np.float32]) -> NDArray[np.bool_]:
        hidden = seen / weights["scale"]
        for name in _LAYERS:
            hidden = hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
            hidden = hidden if name == _LAYERS[-1] else np.tanh(hidden)
        return np.asarray(hidden[:, 1] > hidden[:, 0])

    return decide


@click.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Weights to write.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), help="In place of the recipe's own.")
def main(output: Path, seed: int, steps: int | None) -> None:
    """Train the network without a memory by the policy's own recipe, and write its weights."""
    training = Training(seed=seed, steps=steps)
    recipe = replace(RECIPE, device="cpu").for_training(training)
    with seeded(seed):
        network = Memoryless()
    imitate(network, recipe, training)
    content = npz_bytes({name: value.numpy() for name, value in network.state_dict().items()})
    write_atomically(output, content)
    click.echo(f"{hashlib.sha256(content).hexdigest()}  {output}")


if __name__ == "__main__":
    main()
