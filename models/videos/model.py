"""`Teller`: convolutions over each frame, a GRU over the frames, and a GRU that tells what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...exporters import scan
from ..captions.sentences import BEGIN, END
from ..search import greedy
from ..seq2seq.bahdanau import BahdanauDecoder
from ..seq2seq.encoder import Encoded
from .words import SENTENCES, WORDS

if TYPE_CHECKING:
    from ...runtime.search import Found

    State = dict[str, Tensor]

#: Channels of each convolution of 3 by 3 and stride 2. After the last but one 48 pixels are 12 places.
STAGES = (24, 48, 64)
PLACES = 12
#: Maps whose centres tell where things are.
POINTS = 8


class Frames(nn.Module):
    """What each frame shows, and where.

    What is kept apart from where, so that what happens need not be learnt of each thing anew. What: the largest value
    of each channel over all places. Where: the centres of some finer maps and how far these spread (a spatial softmax:
    Levine et al., "End-to-end training of deep visuomotor policies", 2016, section 5.1).
    """

    rows: Tensor
    columns: Tensor

    def __init__(self) -> None:
        """Make the layers with fresh weights."""
        super().__init__()
        stages = []
        before = 3
        for channels in STAGES:
            convolution = nn.Conv2d(before, channels, 3, 2, padding=1, bias=False)
            stages.append(nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU()))
            before = channels
        self.fine, self.coarse = nn.Sequential(*stages[:-1]), stages[-1]
        self.points = nn.Conv2d(STAGES[-2], POINTS, 3, padding=1)
        steps = torch.linspace(-1, 1, PLACES)
        self.register_buffer("rows", steps.repeat_interleave(PLACES), persistent=False)
        self.register_buffer("columns", steps.repeat(PLACES), persistent=False)
        self.what_size, self.where_size = before, 4 * POINTS

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Look at frames float32 ``(frames, 3, 48, 48)``, 0 to 1: what ``(frames, 64)`` and where ``(frames, 32)``."""
        x = self.fine(2 * frames - 1)
        what = self.coarse(x).amax((2, 3))
        maps = self.points(x).flatten(2)
        return what, torch.cat(self.centres(maps), -1)

    def centres(self, maps: Tensor) -> list[Tensor]:
        """Of maps ``(frames, points, 144)``: row, column (-1 to 1), spread and the largest value, each per map."""
        shares = maps.softmax(-1)
        row, column = (shares * self.rows).sum(-1), (shares * self.columns).sum(-1)
        squares = (shares * (self.rows.square() + self.columns.square())).sum(-1)
        return [row, column, squares - row.square() - column.square(), torch.tanh(maps.amax(-1) / 8)]


class Teller(nn.Module):
    """A clip -> a sentence, word by word, each the likeliest.

    Encoder and decoder as in Venugopalan et al., "Sequence to sequence - video to text", 2015, with an attention over
    time as in Yao et al., "Describing videos by exploiting temporal structure", 2015.
    """

    def __init__(self, *, words: int = len(WORDS), hidden_size: int = 80, forget: float = 0.25) -> None:
        """Make the model with fresh weights.

        Args:
            words: classes of words.
            hidden_size: of each direction of the encoder; the decoder has twice as many.
            forget: probability with which the decoder is not told the last word while training, so that it looks at the
                clip and not at which words often follow each other.
        """
        super().__init__()
        self.frames = Frames()
        size = self.frames.what_size + self.frames.where_size
        self.gru = nn.GRU(size, hidden_size, batch_first=True, bidirectional=True)
        # What a frame shows goes past the GRU too: a noun is read off it, whatever the thing does.
        value_size = 2 * hidden_size + self.frames.what_size
        self.decoder = BahdanauDecoder(
            words, 48, 2 * hidden_size, value_size=value_size, summary_size=2 * hidden_size, attention_size=64
        )
        self.forget = forget

    def encode(self, frames: Tensor, lengths: Tensor) -> Encoded:
        """A vector for each frame.

        Args:
            frames: float32 ``(batch, time, 3, 48, 48)``, 0 to 1; frames at and after a clip's length are not looked at.
            lengths: int64 ``(batch,)``, each from 1 to ``time``.
        """
        what, where = self.frames(frames.flatten(0, 1))
        what, where = (part.unflatten(0, (frames.shape[0], frames.shape[1])) for part in (what, where))
        packed = pack_padded_sequence(
            torch.cat([what, where], -1), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        packed, last = self.gru(packed)
        hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=frames.shape[1])
        summary = torch.cat([last[0], last[1]], -1)
        return Encoded(outputs=torch.cat([hidden, what], -1), summary=summary, lengths=lengths)

    def forward(self, frames: Tensor, lengths: Tensor) -> Found[Tensor]:
        """Tell what happens; arguments as of :meth:`encode`, results as of :func:`rnnx.models.search.greedy`."""
        state, memory = self.decoder.begin(self.encode(frames, lengths))
        first = torch.full_like(lengths, BEGIN)
        return greedy(self.decoder.step, state, memory, begin=first, end=END, max_length=SENTENCES.longest)

    def follow(self, frames: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Logits of a given sentence's words, ``(batch, words, classes)``; target int64 ``(batch, words)``."""
        state, memory = self.decoder.begin(self.encode(frames, lengths))
        before = torch.cat([torch.full_like(target[:, :1], BEGIN), target[:, :-1]], 1)
        if self.training:
            before = before.masked_fill(torch.rand(before.shape, device=before.device) < self.forget, BEGIN)

        def step(state: State, token: Tensor) -> tuple[State, Tensor]:
            logits, state = self.decoder.step(token, state, memory)
            return state, logits

        _, logits = scan(step, state, before)
        answer: Tensor = logits
        return answer
