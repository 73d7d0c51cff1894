"""``LogMel``: logarithms of mel-filter energies, by a convolution and a matrix product."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError
from ...runtime.tasks.mel import Scale, mel_filters


class LogMel(nn.Module):
    """Samples to logarithms of mel-filter energies.

    Mel-spaced filters on short-time spectra are the front end of Davis and Mermelstein, "Comparison of parametric
    representations for monosyllabic word recognition in continuously spoken sentences", IEEE Trans. ASSP 28, 1980; the
    scale is HTK's or Slaney's (:mod:`rnnx.runtime.tasks.mel`). Framing, the Hann window and the Fourier transform are
    one strided convolution, whose filters are the windowed cosines and sines: exported, it needs no STFT operator, and
    the streaming pass cuts it like any other convolution.

    Frame ``t`` ends with sample ``t * hop``: the past alone, zeros before the first sample. So what stands behind a
    row's end never reaches its frames, and a sequence of any length, from 1 sample on, has
    ``ceil(samples / hop)`` frames. Up to ``hop - 1`` samples at the very end are not looked at.

    Attributes:
        hop: samples from one frame to the next.
        num_mels: values a frame.
    """

    dft: Tensor
    filters: Tensor

    def __init__(
        self,
        *,
        sample_rate: int = 8000,
        window: int = 200,
        hop: int = 80,
        fft_size: int = 256,
        num_mels: int = 40,
        low_hz: float = 60.0,
        high_hz: float | None = None,
        scale: Scale = "htk",
        floor: float = 1e-6,
    ) -> None:
        """Make the front end; nothing in it is trained, and nothing is kept in a checkpoint.

        Args:
            sample_rate: in hertz.
            window: samples a frame looks at.
            hop: samples from one frame to the next.
            fft_size: points of the Fourier transform, at least ``window``.
            num_mels: number of filters.
            low_hz: where the first filter begins.
            high_hz: where the last one ends; half the sample rate by default.
            scale: of the filters, ``htk`` or ``slaney``.
            floor: smallest energy, so that silence has a logarithm.

        Raises:
            InputError: sizes or frequencies do not fit together.
        """
        super().__init__()
        if not 1 <= hop <= window <= fft_size:
            raise InputError(
                f"hop {hop}, window {window}, fft_size {fft_size}: needed is 1 <= hop <= window <= fft_size."
            )
        if not floor > 0:
            raise InputError(f"the floor is {floor}; it must be above 0, for the logarithm of silence to be a number.")
        self.hop, self.num_mels = hop, num_mels
        self._left, self._floor = window - 1, floor
        # Computed in float64 and rounded once. Hann, periodic as in Oppenheim and Schafer's filter bank view.
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        angle = 2 * np.pi * np.arange(fft_size // 2 + 1)[:, None] * np.arange(window) / fft_size
        waves = np.concatenate([np.cos(angle), -np.sin(angle)]) * hann
        mel = mel_filters(
            sample_rate=sample_rate, fft_size=fft_size, num_mels=num_mels, low_hz=low_hz, high_hz=high_hz, scale=scale
        )
        # Constants of the formula, not weights: a checkpoint holds neither.
        self.register_buffer("dft", torch.from_numpy(waves[:, None]).float(), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel.T[:, :, None]).float(), persistent=False)

    def frames(self, lengths: Tensor) -> Tensor:
        """Frames, int64 ``(batch,)``, of so many samples."""
        return (lengths + (self.hop - 1)) // self.hop

    def forward(self, samples: Tensor) -> Tensor:
        """Samples, float32 ``(batch, time)``, to :meth:`bands` with the frames first, ``(batch, frames, num_mels)``."""
        return self.bands(samples).transpose(1, 2)

    def bands(self, samples: Tensor) -> Tensor:
        """Compute the features, as a convolution over frames takes them.

        Args:
            samples: float32 ``(batch, time)``, from -1 to 1.

        Returns:
            float32 ``(batch, num_mels, ceil(time / hop))``, natural logarithms of energies.
        """
        padded = nn.functional.pad(samples.unsqueeze(1), (self._left, 0))
        waves = nn.functional.conv1d(padded, self.dft, stride=self.hop)
        real, imaginary = waves.chunk(2, dim=1)
        power = real * real + imaginary * imaginary
        # The matrix product is written as a convolution: torch's `@` makes cases of sequences that have one frame only,
        # and a graph with such a case is not dynamic.
        energies = nn.functional.conv1d(power, self.filters)
        return energies.clamp(min=self._floor).log()
