"""Message catalogues of GNU gettext (`.mo`): texts of programs with their translations."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from ...errors import RnnxError

if TYPE_CHECKING:
    from pathlib import Path


class CatalogueError(RnnxError, ValueError):
    """A file that is no message catalogue."""


class Message(NamedTuple):
    """A text and its translation; of one with a plural form, the singular.

    Attributes:
        context: tells equal texts apart; empty where there is none.
        text: what the program says, in English as a rule.
        translation: of it.
    """

    context: str
    text: str
    translation: str


_MAGIC = 0x950412DE


def read(path: Path) -> list[Message]:
    """Read a catalogue, in the file's order, without the entry that describes the file.

    The form is that of the GNU gettext manual, section "The Format of GNU MO Files"; texts are UTF-8.

    Raises:
        CatalogueError: it is no such file.
    """
    content = path.read_bytes()
    order = {content[:4] == struct.pack(f"{order}I", _MAGIC): order for order in "<>"}.get(True)
    if order is None:
        raise CatalogueError(f"'{path}' is no message catalogue: it does not begin with the mark of a .mo file.")
    try:
        count, texts, translations = struct.unpack_from(f"{order}3I", content, 8)

        def strings(table: int) -> list[str]:
            places = [struct.unpack_from(f"{order}2I", content, table + 8 * row) for row in range(count)]
            # Behind a zero byte stand plural forms.
            return [content[start : start + length].split(b"\0")[0].decode() for length, start in places]

        both = zip(strings(texts), strings(translations), strict=True)
        messages = [(one.rpartition("\x04"), translation) for one, translation in both]
    except (struct.error, UnicodeDecodeError) as error:
        raise CatalogueError(f"the message catalogue '{path}' is damaged: {error}.") from error
    return [Message(context, text, translation) for (context, _, text), translation in messages if text]
