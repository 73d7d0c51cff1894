"""What grapheme to phoneme shows in the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...runtime.tasks import load_task
from ..seq2seq.attention_map import attention_map
from ..zoo.gallery.exhibit import Exhibit, Text
from ..zoo.registry import system as find
from ..zoo.weights import trained
from . import data
from .symbols import SYMBOLS, spell

if TYPE_CHECKING:
    from pathlib import Path

    from ..zoo.gallery.exhibit import Piece

#: Every so manieth held-out word is shown, and words that are in no dictionary.
_EVERY, _INVENTED = 300, ("tensorflux", "quibblesnark", "phonemology", "gruvane")

#: Its letters are said by few phonemes and out of step, so that attention has something to do.
_DRAWN = "thoroughly"


def exhibit(bundle: Path) -> Exhibit:
    """Words with what the bundle says they sound like, and where it looked for one of them."""
    words = data.load()
    pieces: list[Piece] = []
    with load_task(bundle) as task:

        def say(word: str) -> Any:  # noqa: ANN401  (a TextResult, by the bundle's own description)
            return task(word).results[0]  # type: ignore[attr-defined]

        for word in list(words)[::_EVERY]:
            allowed = " or ".join(" ".join(one) for one in words[word])
            pieces.append(Text(given=word, answer=say(word).text, about=f"held out; the dictionary says {allowed}"))
        pieces += [Text(given=word, answer=say(word).text, about="in no dictionary") for word in _INVENTED]
        found = say(_DRAWN).ids
    rows = [SYMBOLS[one] for one in found]
    model: Any = trained(find("g2p")).model
    about = f"What '{_DRAWN}' was looked at for: each phoneme's attention over the letters, darker is more."
    pieces.append(attention_map(model, spell(_DRAWN).tolist(), found, columns=list(_DRAWN), rows=rows, about=about))
    return Exhibit(
        about="How English words are said, in ARPAbet with stress, by additive attention and beam search in the graph.",
        pieces=tuple(pieces),
    )
