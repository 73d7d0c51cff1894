"""Message catalogues: the form of a .mo file."""

from __future__ import annotations

import struct

import pytest

from rnnx.models.datasets import catalogues


def write(path, pairs, *, order="<"):
    texts, translations = ([one.encode() for one in column] for column in zip(*pairs, strict=True))
    count, head = len(pairs), 28
    data, tables = b"", []
    for strings in (texts, translations):
        for one in strings:
            tables += [len(one), head + 16 * count + len(data)]
            data += one + b"\0"
    fields = [0x950412DE, 0, count, head, head + 8 * count, 0, 0]
    path.write_bytes(struct.pack(f"{order}{7 + 4 * count}I", *fields, *tables) + data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_messages_are_read_with_their_context_and_the_first_plural(order, tmp_path):
    path = write(
        tmp_path / "a.mo",
        [("", "Language: fr\n"), ("MENU|open\x04_Open", "_Ouvrir"), ("One row\0%1 rows", "Une ligne\0%1 lignes")],
        order=order,
    )
    assert catalogues.read(path) == [("MENU|open", "_Open", "_Ouvrir"), ("", "One row", "Une ligne")]


def test_what_is_no_catalogue_is_refused(tmp_path):
    path = tmp_path / "a.mo"
    path.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(catalogues.CatalogueError, match=r"does not begin with the mark of a \.mo file"):
        catalogues.read(path)
    whole = write(path, [("a", "b"), ("c", "é")]).read_bytes()
    for broken in (whole[:40], whole[:-4] + b"\xff\xff\xff\0"):
        path.write_bytes(broken)
        with pytest.raises(catalogues.CatalogueError, match="is damaged"):
            catalogues.read(path)
