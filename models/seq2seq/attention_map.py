"""A picture of what an answer looked at, for the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..zoo.gallery.exhibit import Picture
from ..zoo.gallery.plots import heatmap
from .alignment import align

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import EncoderDecoder

#: The search inside the bundle's graph gives no attention out, so it is told anew for the answer that was found.
_FROM = "Worked out by the PyTorch module, because the bundle's search keeps it to itself."


def attention_map(
    model: EncoderDecoder,
    source: Sequence[int],
    target: Sequence[int],
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    about: str,
) -> Picture:
    """Draw the attention of each token of an answer over the source.

    Args:
        model: in eval mode, with additive attention.
        source: tokens, at least one.
        target: the answer's tokens without the ending one, which is added: it looks at something too.
        columns: the text of each token of the source.
        rows: the text of each token of the answer.
        about: what there is to see.
    """
    given = torch.from_numpy(np.array([source], dtype=np.int64))
    said = torch.from_numpy(np.array([[*target, model.end]], dtype=np.int64))
    weights = align(model, given, torch.tensor([len(source)]), said)
    png = heatmap(weights[0].numpy(), columns=columns, rows=[*rows, "(end)"])
    return Picture(png=png, about=f"{about} {_FROM}")
