"""What translation shows in the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...runtime.tasks import load_task
from ..seq2seq.attention_map import attention_map
from ..zoo.gallery.exhibit import Exhibit, Text
from ..zoo.registry import system as find
from ..zoo.weights import trained
from . import held_out
from .pieces import description, encoder, symbols

if TYPE_CHECKING:
    from pathlib import Path

    from ..zoo.gallery.exhibit import Piece

#: Every so manieth held-out text is shown, of those that are not too short to be interesting.
_EVERY, _SHORTEST = 40, 20

_DRAWN = "Do you want to replace the selected table?"


def exhibit(bundle: Path) -> Exhibit:
    """Texts with what the bundle makes of them, and where it looked for one of them."""
    shown = [text for text in held_out.load() if len(text.english) >= _SHORTEST][::_EVERY]
    pieces: list[Piece] = []
    with load_task(bundle) as task:
        for text in shown:
            about = f"held out; the translators wrote: {' or: '.join(text.french)}"
            pieces.append(Text(given=text.english, answer=str(task(text.english)), about=about))
        found: Any = task(_DRAWN)
    source = encoder().encode(_DRAWN)
    model: Any = trained(find("translation")).model
    columns = [description().symbols[one] for one in source]
    rows = [symbols()[one] for one in found.ids]
    about = f"'{_DRAWN}' became '{found.text}': each piece's attention over the English pieces, darker is more."
    pieces.append(attention_map(model, source, found.ids, columns=columns, rows=rows, about=about))
    return Exhibit(
        about="Short English texts of programs, and names, in French, by additive attention and beam search in the "
        "graph.",
        pieces=tuple(pieces),
    )
