"""Features made as varied as speakers are: cheap, so each use of a batch is another one."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def varied(features: Tensor, masks: tuple[int, int], *, tract: float = 0.12, tempo: float = 3.0) -> Tensor:
    """Normalised bands of other speakers, with parts hidden.

    Bands are stretched and shifted, as by another length of the vocal tract (Jaitly and Hinton, "Vocal tract length
    perturbation (VTLP) improves speech recognition", ICML workshop 2013); time runs a little faster here and slower
    there; and a run of bands and two runs of frames of each row are at their mean, 0 (Park et al., "SpecAugment",
    Interspeech 2019).

    Args:
        features: float32 ``(batch, bands, frames)``.
        masks: the most bands and the most frames of a run that is hidden.
        tract: largest change of scale of the bands.
        tempo: how far a frame moves, in frames, at the most.

    Returns:
        float32 of the same shape.
    """
    rows, bands, frames = features.shape
    device = features.device

    def chance(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(rows, 1, device=device)

    band = torch.arange(bands, device=device) * chance(1 - tract, 1 + tract) + chance(-1.5, 1.5)
    frame = torch.arange(frames, device=device)
    # No steeper than the time itself, so that it never runs backwards.
    wave = 2 * math.pi * (frame / chance(40.0, 160.0) + chance(0.0, 1.0))
    features = _read(features, band, 1)
    features = _read(features, frame + chance(0.0, tempo) * torch.sin(wave), 2)
    features = features * chance(0.85, 1.15).unsqueeze(1)
    for axis, size, count in ((1, masks[0], 1), (2, masks[1], 2)):
        place = torch.arange(features.shape[axis], device=device)
        for _ in range(count):
            width = torch.randint(0, size + 1, (rows, 1), device=device)
            first = (torch.rand(rows, 1, device=device) * (len(place) - width).clamp(min=1)).long()
            hidden = (place >= first) & (place < first + width)
            features = features.masked_fill(hidden.unsqueeze(3 - axis), 0.0)
    return features


def _read(features: Tensor, places: Tensor, axis: int) -> Tensor:
    """Values at places between those that are there, float32 ``(batch, places)``, along an axis."""
    places = places.clamp(0, features.shape[axis] - 1)
    below = places.floor().long()
    above = (below + 1).clamp(max=features.shape[axis] - 1)
    share = (places - below).unsqueeze(3 - axis)
    shape = list(features.shape)
    low, high = (features.gather(axis, one.unsqueeze(3 - axis).expand(shape)) for one in (below, above))
    return low + share * (high - low)
