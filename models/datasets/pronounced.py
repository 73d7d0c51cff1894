"""Two ways to say ``thirty`` and ``thirteen``: as programs do by themselves, and as people who want to be understood.

Left alone, programs say words of ``-ty`` with a flap, as Americans do in fluent speech ("thirdy"), and many stress
``-teen`` on its first syllable. Who learns from them takes a clear ``t`` for a sign of ``-teen``. People who say a
number alone say a clear ``t`` in both, and stress the end of ``-teen``. A voice that is ``clear`` speaks so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_Syllables = tuple[tuple[str, ...], ...]

_STEMS: dict[str, _Syllables] = {
    "thir": (("th", "er"),),
    "for": (("f", "ao", "r"),),
    "four": (("f", "ao", "r"),),
    "fif": (("f", "ih", "f"),),
    "six": (("s", "ih", "k", "s"),),
    "seven": (("s", "eh"), ("v", "ah", "n")),
    "eigh": (("ey",),),
    "nine": (("n", "ay", "n"),),
    "twen": (("t", "w", "eh", "n"),),
}
#: Each word's syllables, in the phones of the CMU pronouncing dictionary, and the number of the one that is stressed.
CLEAR: dict[str, tuple[_Syllables, int]] = {
    **{stem + "ty": ((*said, ("t", "iy")), 0) for stem, said in _STEMS.items() if stem != "four"},
    **{
        stem + "teen": ((*said, ("t", "iy", "n")), len(said))
        for stem, said in _STEMS.items()
        if stem not in ("for", "twen")
    },
}

_ESPEAK = {"th": "T", "er": "3:", "ao": "O:", "ih": "I", "eh": "E", "ah": "@", "ey": "eI", "ay": "aI", "iy": "i:"}


def espeak(text: str) -> str:
    """A text for espeak-ng, with these words in its own letters for phones."""

    def spell(word: str) -> str:
        syllables, stressed = CLEAR[word]
        # Without a lesser stress of its own the last syllable would begin with a flap again.
        lesser = (0, len(syllables) - 1)
        marks = ["'" if number == stressed else "," if number in lesser else "" for number in range(len(syllables))]
        parts = ("".join(_ESPEAK.get(phone, phone) for phone in one) for one in syllables)
        return "[[" + "".join(mark + part for mark, part in zip(marks, parts, strict=True)) + "]]"

    return _spelled(text, spell)


def flite_lexicon() -> str:
    """What flite reads with ``-add_lex``: a digit behind each vowel says whether it is stressed."""
    lines = []
    for word, (syllables, stressed) in CLEAR.items():
        phones = [
            phone + (str(int(number == stressed)) if phone[0] in "aeiou" else "")
            for number, one in enumerate(syllables)
            for phone in one
        ]
        lines.append(f'"{word}" nil : {" ".join(phones)}\n')
    return "".join(lines)


def festival_lexicon() -> str:
    """Commands for festival that add these words to a voice's lexicon."""
    lines = []
    for word, (syllables, stressed) in CLEAR.items():
        # The unstressed vowel of "seven" has a letter of its own here.
        parts = (f"(({' '.join(one).replace('ah', 'ax')}) {int(n == stressed)})" for n, one in enumerate(syllables))
        lines.append(f'(lex.add.entry \'("{word}" nil ({" ".join(parts)})))\n')
    return "".join(lines)


def _spelled(text: str, spell: Callable[[str], str]) -> str:
    return re.sub(r"[a-z]+", lambda found: spell(found[0]) if found[0] in CLEAR else found[0], text)
