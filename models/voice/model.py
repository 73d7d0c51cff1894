"""``Speaker``: letters to log-mel frames, a few at a time, until it says that it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...exporters import while_loop
from .attention import ForwardAttention
from .sound import FLOOR, MELS
from .text import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Frames a step of the decoder: the reduction factor of Wang et al. (2017).
GROUP = 4
#: Steps after which it stops in any case: 80 steps are 4 s.
MAX_STEPS = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sizes of the layers."""

    embedding: int = 48
    encoder: int = 64
    prenet: int = 64
    decoder: int = 128


class Speaker(nn.Module):
    """An encoder over letters and a decoder with attention that gives frames.

    After Wang et al., "Tacotron: towards end-to-end speech synthesis", Interspeech 2017: a pre-net over the last frame,
    a GRU that asks the attention, another one that answers with a group of frames; and a stop signal as in Shen et al.,
    "Natural TTS synthesis by conditioning WaveNet on mel spectrogram predictions", ICASSP 2018.

    Attributes:
        mean: float32 ``(mels,)``, of each band over the training data.
        std: float32 ``(mels,)``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, sizes: Sizes | None = None, *, dropout: float = 0.5) -> None:
        """Make the model; ``dropout`` is the pre-net's, while training."""
        super().__init__()
        sizes = sizes or Sizes()
        self.register_buffer("mean", torch.zeros(MELS))
        self.register_buffer("std", torch.ones(MELS))
        self.embedding = nn.Embedding(len(SYMBOLS), sizes.embedding)
        self.encoder = nn.GRU(sizes.embedding, sizes.encoder, batch_first=True, bidirectional=True)
        values = 2 * sizes.encoder
        self.prenet = nn.Sequential(
            *(nn.Linear(MELS, sizes.prenet), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(sizes.prenet, sizes.prenet), nn.ReLU(), nn.Dropout(dropout)),
        )
        self.asking = nn.GRUCell(sizes.prenet + values, sizes.decoder)
        self.attention = ForwardAttention(sizes.decoder)
        self.answering = nn.GRUCell(sizes.decoder + values, sizes.decoder)
        self.frames = nn.Linear(sizes.decoder + values, GROUP * MELS)
        self.stop = nn.Linear(sizes.decoder + values, 1)

    def encode(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Letters int64 ``(batch, time)`` to values float32 ``(batch, time, 2 * encoder)``."""
        packed = pack_padded_sequence(self.embedding(letters), lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed, _ = self.encoder(packed)
        values, _ = pad_packed_sequence(packed, batch_first=True, total_length=letters.shape[1])
        return values

    def begin(self, values: Tensor) -> dict[str, Tensor]:
        """The decoder's state before its first step."""
        rows = values.shape[0]
        hidden = self.asking.hidden_size
        return {
            "asking": values.new_zeros(rows, hidden),
            "answering": values.new_zeros(rows, hidden),
            "context": values.new_zeros(rows, values.shape[2]),
            "centres": values.new_zeros(rows, self.attention.components),
        }

    def step(
        self, frame: Tensor, state: Mapping[str, Tensor], values: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """One step of the decoder.

        Args:
            frame: the last frame, normalised, float32 ``(batch, mels)``.
            state: from :meth:`begin` or the step before.
            values: from :meth:`encode`.
            lengths: int64 ``(batch,)``, letters of each row.

        Returns:
            The next frames, normalised, float32 ``(batch, GROUP * mels)``; the logit of having ended with them,
            ``(batch,)``; and the next state.
        """
        asking = self.asking(torch.cat([self.prenet(frame), state["context"]], -1), state["asking"])
        context, centres = self.attention(asking, state["centres"], values, lengths)
        answering = self.answering(torch.cat([asking, context], -1), state["answering"])
        known = torch.cat([answering, context], -1)
        following = {"asking": asking, "answering": answering, "context": context, "centres": centres}
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

        def one(carried: tuple[Tensor, dict[str, Tensor], Tensor, Tensor]) -> tuple[tuple[object, ...], Tensor]:
            frame, state, ended, count = carried
            group, stop, state = self.step(frame, state, values, lengths)
            count = count + (~ended).long()
            shown = torch.where(ended.unsqueeze(-1), self._silence().repeat(GROUP), group)
            return (group[:, -MELS:], state, ended | (stop > 0), count), shown

        rows = letters.shape[0]
        carried = (
            self._silence().unsqueeze(0).expand(rows, MELS).contiguous(),
            self.begin(values),
            torch.zeros(rows, dtype=torch.bool, device=letters.device),
            torch.zeros(rows, dtype=torch.int64, device=letters.device),
        )
        (_, _, _, count), groups = while_loop(lambda carried: ~carried[2].all(), one, carried, max_steps=MAX_STEPS)
        frames = groups.reshape(rows, -1, MELS) * self.std + self.mean
        return frames, count * GROUP

    def _silence(self) -> Tensor:
        """A frame of silence, normalised, ``(mels,)``."""
        return (torch.full_like(self.mean, FLOOR).log() - self.mean) / self.std


def build() -> Speaker:
    """The model with fresh weights, at the size of the checkpoint."""
    return Speaker()
