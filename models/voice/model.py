"""``Speaker``: letters to log-mel frames, a few at a time, until it says that it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...exporters import while_loop
from .attention import Centres, ForwardAttention
from .sound import FLOOR, MELS
from .text import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Frames a step of the decoder: the reduction factor of Wang et al. (2017).
GROUP = 4
#: Steps after which it stops in any case: 160 steps are 8 s.
MAX_STEPS = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sizes of the layers."""

    embedding: int = 48
    encoder: int = 64
    decoder: int = 128
    head: int = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What the decoder carries from step to step.

    Attributes:
        asking: float32 ``(batch, decoder)``, of the GRU that moves the attention.
        answering: float32 ``(batch, decoder)``, of the GRU that gives frames.
        context: float32 ``(batch, 2 * encoder)``, what was seen last.
        centres: where the attention stands.
    """

    asking: Tensor
    answering: Tensor
    context: Tensor
    centres: Centres

    def parts(self) -> tuple[Tensor, ...]:
        """The same as a tuple, which a loop carries."""
        return self.asking, self.answering, self.context, self.centres.whole, self.centres.part

    @classmethod
    def of(cls, parts: Sequence[Tensor]) -> State:
        """From :meth:`parts`."""
        asking, answering, context, whole, part = parts
        return cls(asking=asking, answering=answering, context=context, centres=Centres(whole=whole, part=part))


class Speaker(nn.Module):
    """An encoder over letters and a decoder with attention that gives frames.

    After Wang et al., "Tacotron: towards end-to-end speech synthesis", Interspeech 2017: a GRU that asks the attention,
    another one that answers with a group of frames; and a stop signal as in Shen et al., "Natural TTS synthesis by
    conditioning WaveNet on mel spectrogram predictions", ICASSP 2018. Other than there, the decoder is not told its own
    last frame: what it has said it knows by its states. One voice that says a text in one way needs no more; training
    then is what running is, without true frames that nobody has later ("exposure bias": Ranzato et al., "Sequence level
    training with recurrent neural networks", ICLR 2016); and differences of rounding do not grow from frame to frame.

    Attributes:
        mean: float32 ``(mels,)``, of each band over the training data.
        std: float32 ``(mels,)``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, sizes: Sizes | None = None) -> None:
        """Make the model."""
        super().__init__()
        sizes = sizes or Sizes()
        self.register_buffer("mean", torch.zeros(MELS))
        self.register_buffer("std", torch.ones(MELS))
        self.embedding = nn.Embedding(len(SYMBOLS), sizes.embedding)
        self.encoder = nn.GRU(sizes.embedding, sizes.encoder, batch_first=True, bidirectional=True)
        values = 2 * sizes.encoder
        self.asking = nn.GRUCell(values, sizes.decoder)
        self.attention = ForwardAttention(sizes.decoder)
        self.answering = nn.GRUCell(sizes.decoder + values, sizes.decoder)
        # The frames of a group differ by more than a matrix says of what is known once for all of them.
        self.frames = nn.Sequential(
            nn.Linear(sizes.decoder + values, sizes.head), nn.ReLU(), nn.Linear(sizes.head, GROUP * MELS)
        )
        self.stop = nn.Linear(sizes.decoder + values, 1)

    def encode(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Letters int64 ``(batch, time)`` to values float32 ``(batch, time, 2 * encoder)``."""
        packed = pack_padded_sequence(self.embedding(letters), lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed, _ = self.encoder(packed)
        values, _ = pad_packed_sequence(packed, batch_first=True, total_length=letters.shape[1])
        return values

    def begin(self, values: Tensor) -> State:
        """The decoder's state before its first step."""
        rows = values.shape[0]
        hidden = values.new_zeros(rows, self.asking.hidden_size)
        context = values.new_zeros(rows, values.shape[2])
        return State(asking=hidden, answering=hidden, context=context, centres=self.attention.begin(values))

    def step(self, state: State, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, State]:
        """One step of the decoder.

        Args:
            state: from :meth:`begin` or the step before.
            values: from :meth:`encode`.
            lengths: int64 ``(batch,)``, letters of each row.

        Returns:
            The next frames, normalised, float32 ``(batch, GROUP * mels)``; the logit of having ended with them,
            ``(batch,)``; and the next state.
        """
        asking = self.asking(state.context, state.asking)
        context, centres = self.attention(asking, state.centres, values, lengths)
        answering = self.answering(torch.cat([asking, context], -1), state.answering)
        known = torch.cat([answering, context], -1)
        following = State(asking=asking, answering=answering, context=context, centres=centres)
        return self.frames(known), self.stop(known).squeeze(-1), following

    def forward(self, letters: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Speak.

        Args:
            letters: int64 ``(batch, time)``, numbers of symbols, the end symbol last.
            lengths: int64 ``(batch,)``, from 1.

        Returns:
            Log-mel frames float32 ``(batch, steps * GROUP, mels)``, natural logarithms of energies, silence behind a
            row's end; and the number of each row's own frames, int64 ``(batch,)``.
        """
        values = self.encode(letters, lengths)

        def one(carried: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
            ended, count, *parts = carried
            group, stop, state = self.step(State.of(parts), values, lengths)
            count = count + (~ended).long()
            shown = torch.where(ended.unsqueeze(-1), self._silence().repeat(GROUP), group)
            return (ended | (stop > 0), count, *state.parts()), shown

        rows = letters.shape[0]
        carried = (
            torch.zeros(rows, dtype=torch.bool, device=letters.device),
            torch.zeros(rows, dtype=torch.int64, device=letters.device),
            *self.begin(values).parts(),
        )
        (_, count, *_), groups = while_loop(lambda carried: ~carried[0].all(), one, carried, max_steps=MAX_STEPS)
        frames = groups.reshape(rows, -1, MELS) * self.std + self.mean
        return frames, count * GROUP

    def _silence(self) -> Tensor:
        """A frame of silence, normalised, ``(mels,)``."""
        return (torch.full_like(self.mean, FLOOR).log() - self.mean) / self.std


def build() -> Speaker:
    """The model with fresh weights, at the size of the checkpoint."""
    return Speaker()
