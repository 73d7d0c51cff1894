"""Teaching a model to say sentences: their loss, and the training that the best validation ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..training import fit
from ..zoo.running import TorchRunner
from .sentences import END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from ..training import Recipe
    from ..zoo.system import Face, Training
    from .drawings import Drawings, Example

    Batch = dict[str, Tensor]

Model = TypeVar("Model", bound=nn.Module)

#: Class of what stands after a sentence's end, which is not learnt.
_NOTHING = -100


def sentence_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the words up to a sentence's end, and of the end.

    Args:
        logits: ``(batch, words, classes)``.
        target: int64 ``(batch, words)``; the end fills rows up.
    """
    ended = (target == END).cumsum(1) - (target == END).long() > 0
    return cross_entropy(logits.flatten(0, 1), target.masked_fill(ended, _NOTHING).flatten())


def teach(
    module: Model,
    batches: Callable[[np.random.Generator], Iterator[Batch]],
    follow: Callable[[Model, Batch], Tensor],
    recipe: Recipe,
    training: Training,
    *,
    face: Face,
    drawings: Drawings[Any, Any],
    choosing: Sequence[Example],
) -> Model:
    """Train a model, in place, to the weights that get most of some examples right.

    Args:
        module: with fresh weights.
        batches: of an epoch; each has what ``follow`` takes, and the right sentences as ``target``.
        follow: from the module and a batch to the logits of its sentences' words, given those before them.
        recipe: how.
        training: what the user asked for.
        face: the module's.
        drawings: who says what is right.
        choosing: the examples that choose the weights.
    """

    def loss(model: Model, batch: Batch, _state: None) -> tuple[Tensor, None]:
        return sentence_loss(follow(model, batch), batch["target"]), None

    def validate(model: Model) -> float:
        return float(drawings.right(TorchRunner(model, face), choosing).mean())

    fit(module, batches, loss, recipe, validate=validate, folder=training.folder, report=training.report)
    return module
