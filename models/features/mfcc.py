"""``Mfcc``: mel-frequency cepstral coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError

if TYPE_CHECKING:
    from .logmel import LogMel


class Mfcc(nn.Module):
    """Mel-frequency cepstral coefficients: the cosine transform of :class:`LogMel`'s frames.

    ``c_i = sqrt(2 / N) sum_j m_j cos(pi i (j + 1/2) / N)`` over the ``N`` mels, for ``i`` from 0 (Davis and
    Mermelstein, 1980, equation 1, with the scaling of "The HTK Book", 2006, equation 5.14).
    """

    transform: Tensor

    def __init__(self, mel: LogMel, *, num_coefficients: int = 13) -> None:
        """Make the front end.

        Args:
            mel: makes the frames.
            num_coefficients: how many to keep, the 0th among them.

        Raises:
            InputError: more coefficients are asked for than there are mels.
        """
        super().__init__()
        if not 1 <= num_coefficients <= mel.num_mels:
            raise InputError(
                f"{num_coefficients} cepstral coefficients of {mel.num_mels} mels; from 1 to {mel.num_mels} are there."
            )
        self.mel = mel
        order = np.arange(num_coefficients) * (np.arange(mel.num_mels)[:, None] + 0.5)
        cosines = np.sqrt(2.0 / mel.num_mels) * np.cos(np.pi / mel.num_mels * order)
        self.register_buffer("transform", torch.from_numpy(cosines).float(), persistent=False)

    def frames(self, lengths: Tensor) -> Tensor:
        """Frames, int64 ``(batch,)``, of so many samples."""
        return self.mel.frames(lengths)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples, float32 ``(batch, time)``, to coefficients, float32 ``(batch, frames, num_coefficients)``."""
        cepstrum: Tensor = self.mel(samples) @ self.transform
        return cepstrum
