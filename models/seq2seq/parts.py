"""An encoder-decoder in two graphs, for a host that searches by itself (:mod:`rnnx.runtime.search`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from ... import exporters
from ...runtime.two_graphs import LOGITS, MEMORY, NEXT, STATE, TOKENS

if TYPE_CHECKING:
    import os

    from ...exporters import Exported
    from .model import EncoderDecoder

_LENGTHS = "lengths"


class EncoderPart(nn.Module):
    """From a source to the decoder's first state and its memory."""

    def __init__(self, model: EncoderDecoder) -> None:
        """Take this model's encoder, and what its decoder makes of it before the first token."""
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, lengths: Tensor) -> dict[str, dict[str, Tensor]]:
        """Encode.

        Args:
            source: int64 ``(batch, source)``.
            lengths: int64 ``(batch,)``, from 1.

        Returns:
            ``state`` and ``memory``, tensors by name. As outputs of a graph they are called ``state_h``,
            ``memory_keys`` and so on, as the inputs of :class:`StepPart` are.
        """
        state, memory = self.model.decoder.begin(self.model.encoder(source, lengths))
        return {"state": state, "memory": memory}


class StepPart(nn.Module):
    """From the last token of each row to the scores of the next."""

    def __init__(self, model: EncoderDecoder) -> None:
        """Take this model's decoder."""
        super().__init__()
        self.model = model

    def forward(
        self, tokens: Tensor, state: dict[str, Tensor], memory: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One step.

        Args:
            tokens: int64 ``(batch,)``.
            state: tensors ``(batch, ...)`` by name, from :class:`EncoderPart` or the last step.
            memory: tensors ``(batch, ...)`` by name, from :class:`EncoderPart`.

        Returns:
            Logits ``(batch, vocabulary)``, and the next state.
        """
        return self.model.decoder.step(tokens, state, memory)


class Parts(NamedTuple):
    """What :func:`export_parts` wrote: ``encoder.rnnx`` and ``step.rnnx``."""

    encoder: Exported
    step: Exported


def export_parts(
    model: EncoderDecoder,
    folder: str | os.PathLike[str],
    *,
    source_vocabulary: int,
    target_vocabulary: int,
    overwrite: bool = False,
) -> Parts:
    """Write an encoder-decoder as two bundles, ``encoder.rnnx`` and ``step.rnnx``, each proven.

    :class:`rnnx.runtime.two_graphs.TwoGraphs` runs them together.

    Args:
        model: the source.
        folder: where both go; it is made where it is missing.
        source_vocabulary: number of source tokens.
        target_vocabulary: number of target tokens.
        overwrite: replace bundles that stand there.

    Raises:
        RnnxError: as :func:`rnnx.exporters.export`.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    encoder = exporters.export(
        EncoderPart(model),
        inputs={"source": f"int64[batch, source] < {source_vocabulary}"},
        lengths=f"{_LENGTHS}:source",
        out=Path(folder) / "encoder.rnnx",
        streaming="off",
        overwrite=overwrite,
    )
    between = encoder.bundle.manifest.signature.outputs
    states = [spec.name for spec in between if spec.name.startswith(STATE)]
    # `state_h` is an entry of the argument `state`.
    declared = [str(replace(spec, argument=spec.name.replace("_", ".", 1))) for spec in between]
    measured = f"{MEMORY}{_LENGTHS}"
    step = exporters.export(
        StepPart(model),
        inputs=[f"{TOKENS}: int64[batch] < {target_vocabulary}", *declared],
        lengths=f"{measured}:source" if any(spec.name == measured for spec in between) else None,
        outputs=[LOGITS, *(f"{name}{NEXT}" for name in states)],
        out=Path(folder) / "step.rnnx",
        streaming="off",
        overwrite=overwrite,
    )
    return Parts(encoder=encoder, step=step)
