"""An encoder-decoder in two bundles, for a host that searches by itself (:mod:`.search`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from .search import Arrays
    from .session import Session

#: How the tensors between the graphs are called: what recurs, what stays, and what recurs after the step.
STATE, MEMORY, NEXT = "state_", "memory_", "_next"
TOKENS, LOGITS = "tokens", "logits"


class TwoGraphs:
    """Two sessions that belong together.

    The encoder gives ``state_NAME`` and ``memory_NAME``; the step takes them and ``tokens``, int64 ``(batch,)``, and
    gives ``logits`` and ``state_NAME_next``. :func:`rnnx.models.seq2seq.export_parts` writes such bundles.
    """

    def __init__(self, encoder: Session, step: Session) -> None:
        """Join two sessions; they stay their owner's to close.

        Raises:
            InputError: the step takes something that the encoder does not give, or does not give back its states.
        """
        self.encoder = encoder
        self._step = step
        given = {spec.name for spec in encoder.signature.outputs}
        answered = {spec.name for spec in step.signature.outputs}
        taken = [spec.name for spec in step.signature.inputs]
        self._states = [name for name in taken if name.startswith(STATE)]
        self._memory = [name for name in taken if name not in {TOKENS, *self._states}]
        missing = [name for name in (*self._states, *self._memory) if name not in given]
        missing += [name for name in (LOGITS, *(f"{state}{NEXT}" for state in self._states)) if name not in answered]
        if missing or TOKENS not in taken:
            what = f"'{missing[0]}' is nobody's output" if missing else f"the step has no input '{TOKENS}'"
            raise InputError(
                f"'{encoder.bundle.path}' and '{step.bundle.path}' do not fit together: {what}. The encoder must give "
                f"what the step takes beside '{TOKENS}', and the step '{LOGITS}' and each state as 'NAME{NEXT}'."
            )

    def begin(
        self, inputs: Mapping[str, Any], lengths: object = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Encode a batch: the state before the first token, and the memory.

        Args:
            inputs: of the encoder, as :meth:`Session.run` takes them.
            lengths: of its rows.

        Raises:
            InputError, SessionError: as :meth:`Session.run`.
        """
        outputs = self.encoder.run(inputs, lengths=lengths)  # type: ignore[arg-type]  # checked there
        return {name: outputs[name] for name in self._states}, {name: outputs[name] for name in self._memory}

    def step(self, tokens: NDArray[np.int64], state: Arrays, memory: Arrays) -> tuple[NDArray[Any], Arrays]:
        """One step, as the searches of :mod:`.search` take it.

        Raises:
            InputError, SessionError: as :meth:`Session.run`.
        """
        outputs = self._step.run({TOKENS: tokens, **state, **memory})
        return outputs[LOGITS], {name: outputs[f"{name}{NEXT}"] for name in self._states}
