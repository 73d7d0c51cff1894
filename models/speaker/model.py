"""`SpeakerNet`: a bidirectional LSTM and a pooling over the frames that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..ragged import pad
from .data import NUM_FEATURES, NUM_SPEAKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from .evaluate import Predict

CHECKPOINT = Path(__file__).with_name("speaker.safetensors")


class SpeakerNet(nn.Module):
    """Raw cepstrum frames -> one score per speaker.

    The answer for an utterance depends on its own frames alone: neither on what fills it up to the batch's
    length nor on the utterances beside it.

    Attributes:
        mean: float32 `(features,)`, subtracted from every frame. A buffer, so that whoever runs the model gives
            raw features and cannot forget to normalise them.
        std: float32 `(features,)`, by which every frame is then divided.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, *, input_size: int, hidden_size: int, num_layers: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(input_size))
        self.register_buffer("std", torch.ones(input_size))
        self.lstm = nn.LSTM(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if num_layers > 1 else 0.0,  # torch warns about dropout with no layer after it
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(4 * hidden_size, num_classes)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Score each utterance for every speaker.

        Args:
            features: float32 `(batch, time, features)`; frames at and after an utterance's length are ignored.
            lengths: int64 `(batch,)`, each from 1 to `time`.

        Returns:
            logits: float32 `(batch, speakers)`.
        """
        normalised = (features - self.mean) / self.std
        # Packed, because the reverse direction must begin at an utterance's own last frame, not in the padding.
        packed = pack_padded_sequence(normalised, lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed, _ = self.lstm(packed)
        # total_length: without it the output is as long as the longest utterance, which `mask` need not be.
        hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=features.size(1))
        mask = torch.arange(features.size(1), device=features.device) < lengths.unsqueeze(1)
        mask = mask.unsqueeze(2)
        mean = hidden.masked_fill(~mask, 0.0).sum(dim=1) / lengths.unsqueeze(1)
        # An LSTM's output is o * tanh(c), always above -1: a floor that changes no maximum and, unlike -inf,
        # is an ordinary number in every precision.
        maximum = hidden.masked_fill(~mask, -1.0).amax(dim=1)
        logits: torch.Tensor = self.classifier(self.dropout(torch.cat((mean, maximum), dim=1)))
        return logits


def build(
    *,
    input_size: int = NUM_FEATURES,
    hidden_size: int = 64,
    num_layers: int = 1,
    num_classes: int = NUM_SPEAKERS,
    dropout: float = 0.3,
) -> SpeakerNet:
    """Make the model with fresh weights and no normalisation; the defaults fit the committed checkpoint.

    Args:
        input_size: features per frame.
        hidden_size: hidden size of each direction.
        num_layers: LSTM layers.
        num_classes: speakers.
        dropout: probability with which a value is dropped while training, between layers and after pooling.
    """
    return SpeakerNet(
        input_size=input_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        num_classes=num_classes,
        dropout=dropout,
    )


def load(path: Path = CHECKPOINT) -> SpeakerNet:
    """Make the model with the weights of a checkpoint, ready to answer (`eval`).

    Raises:
        FileNotFoundError: if there is no file at `path`.
        RuntimeError: if the checkpoint's tensors are not exactly the default model's.
    """
    model = build()
    model.load_state_dict(load_file(path))
    return model.eval()


def predictor(model: nn.Module) -> Predict:
    """Return a function that answers lists of utterances, for `rnnx.models.speaker.evaluate.score`."""

    @torch.inference_mode()
    def predict(utterances: Sequence[npt.NDArray[np.float32]], /) -> npt.NDArray[np.float32]:
        features, lengths = (torch.from_numpy(array) for array in pad(utterances))
        logits: npt.NDArray[np.float32] = model(features, lengths).numpy()
        return logits

    return predict
