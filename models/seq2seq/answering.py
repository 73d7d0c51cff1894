"""What a decoder says to many sources: the same for a module in training, the module, and a variant of its bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..ragged import alike, pad
from .decoding import Greedy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner
    from .model import EncoderDecoder

Tokens = tuple[int, ...]


def answer(
    runner: Runner,
    sources: Sequence[NDArray[np.int64]],
    *,
    end: int,
    options: Mapping[str, float],
    batch_size: int = 128,
) -> list[Tokens]:
    """The best hypothesis for each source.

    Args:
        runner: of a model with the inputs `source` and `lengths` and outputs `tokens` and `lengths_out`, int64
            ``(batch, beam_width, steps)`` and ``(batch, beam_width)``.
        sources: int64 ``(source,)`` each.
        end: the ending token, which is not given back.
        options: the model's other inputs, scalars, by name.
        batch_size: the most sources of one run; sources of like length are run together.

    Returns:
        The tokens for each source, in the order of ``sources``.
    """
    scalars = {
        name: np.array(value, np.int64 if isinstance(value, int) else np.float32) for name, value in options.items()
    }

    def run(source: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        found = runner.run({"source": source, "lengths": lengths, **scalars})
        return found["tokens"][:, 0], found["lengths_out"][:, 0]

    return _in_order(run, sources, end, batch_size)


def answer_greedily(
    model: EncoderDecoder, sources: Sequence[NDArray[np.int64]], *, max_length: int, batch_size: int = 128
) -> list[Tokens]:
    """What greedy search finds, for validations: the module as it is, on its own device.

    Args:
        model: in eval mode.
        sources: int64 ``(source,)`` each.
        max_length: the largest number of tokens, the ending one included.
        batch_size: the most sources of one run.

    Returns:
        The tokens for each source without the ending one, in the order of ``sources``.
    """
    device = next(model.parameters()).device
    greedy = Greedy(model)

    @torch.inference_mode()
    def run(source: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        given = torch.from_numpy(source).to(device), torch.from_numpy(lengths).to(device)
        found = greedy(*given, max_length=torch.tensor(max_length))
        return found.tokens.cpu().numpy(), found.lengths.cpu().numpy()

    return _in_order(run, sources, model.end, batch_size)


def _in_order(
    run: Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[NDArray[Any], NDArray[Any]]],
    sources: Sequence[NDArray[np.int64]],
    end: int,
    batch_size: int,
) -> list[Tokens]:
    answers: dict[int, Tokens] = {}
    for rows in alike(map(len, sources), batch_size):
        tokens, lengths = run(*pad([sources[row] for row in rows]))
        for row, found, length in zip(rows, tokens, lengths, strict=True):
            said = found[:length].tolist()
            # The ending token is missing where the search was cut off.
            answers[int(row)] = tuple(said[:-1] if said and said[-1] == end else said)
    return [answers[row] for row in range(len(sources))]
