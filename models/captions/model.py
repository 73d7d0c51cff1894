"""`Captioner`: convolutions over a scene, and a decoder that attends to their map."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...exporters import scan
from ..search import greedy
from .decoder import AttendingDecoder
from .sentences import BEGIN, END
from .words import SENTENCES, WORDS

#: Channels and stride of each convolution of 3 by 3. The strides make 64 pixels 8 places.
STAGES = ((32, 2), (64, 2), (96, 2), (96, 1))
#: Places of the map's side.
PLACES = 8


class Caption(NamedTuple):
    """What a captioner answers.

    Attributes:
        tokens: int64 ``(batch, words)``; after a row's end there is the end.
        lengths: int64 ``(batch,)``, the end among them.
        scores: float32 ``(batch,)``, log-probability of each row.
        attention: float32 ``(batch, words, 8, 8)``: where the model looked for each word; every map sums to 1.
    """

    tokens: Tensor
    lengths: Tensor
    scores: Tensor
    attention: Tensor


class Captioner(nn.Module):
    """The image of a scene -> a sentence, word by word, each the likeliest."""

    def __init__(self, *, words: int = len(WORDS)) -> None:
        """Make the model with fresh weights; so many classes of words."""
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels, stride in STAGES:
            layers += [
                nn.Conv2d(before, channels, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
            before = channels
        self.features = nn.Sequential(*layers)
        # Where a place is: without it the mean and the attention could not tell left from right.
        self.place = nn.Parameter(torch.randn(PLACES * PLACES, before) * 0.1)
        self.decoder = AttendingDecoder(words, value_size=before)

    def begin(self, image: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The decoder's first state and its memory.

        Args:
            image: float32 ``(batch, 3, 64, 64)``: red, green and blue, 0 to 1.
        """
        values = self.features(2 * image - 1).flatten(2).transpose(1, 2) + self.place
        lengths = torch.full((image.shape[0],), PLACES * PLACES, dtype=torch.int64, device=image.device)
        return self.decoder.begin(values, lengths)

    def forward(self, image: Tensor) -> Caption:
        """Tell what the scene shows; ``image`` as of :meth:`begin`."""
        state, memory = self.begin(image)
        first = torch.full_like(memory["lengths"], BEGIN)
        found = greedy(self.decoder.step, state, memory, begin=first, end=END, max_length=SENTENCES.longest)
        _, weights = self.follow(state, memory, found.tokens)
        return Caption(
            tokens=found.tokens,
            lengths=found.lengths,
            scores=found.scores,
            attention=weights.reshape(*weights.shape[:2], PLACES, PLACES),
        )

    def follow(self, state: dict[str, Tensor], memory: dict[str, Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
        """Say a given sentence.

        Args:
            state: the first one.
            memory: from :meth:`begin`.
            target: int64 ``(batch, words)``.

        Returns:
            Logits of each word, given those before it, ``(batch, words, classes)``; and where the model looked for it,
            ``(batch, words, places)``.
        """
        before = torch.cat([torch.full_like(target[:, :1], BEGIN), target[:, :-1]], 1)

        def step(state: dict[str, Tensor], token: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
            logits, state, weights = self.decoder.look(token, state, memory)
            return state, (logits, weights)

        _, both = scan(step, state, before)
        logits, weights = both
        return logits, weights
