"""Addresses of the United States, labelled word by word by hand, as the Python package `usaddress` carries them (MIT).

The labels are those of the "United States Thoroughfare, Landmark, and Postal Address Data Standard" of the Federal
Geographic Data Committee, 2011, and a few of the package's own.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .packages import Package, find

if TYPE_CHECKING:
    from pathlib import Path

#: What people labelled. The package's other files were made by programs from maps.
PACKAGE = Package(
    kind="sdist",
    name="usaddress",
    version="0.5.16",
    licence="MIT",
    files={
        "training/labeled.xml": "dbd125fa01fbdbc4e25cce722c648ce4e224e4c9bdb9b5a14498aa8a042aee32",
        "training/multi_word_state_addresses.xml": "e983d1bce00219472fe7ab24b62a3b253229da7b296f2b393e5d4a4c86528c5a",
        "training/us50_train_tagged.xml": "04e43d2e5095050558c1f22b55f6d36fd605e4d7fd972567a9366ef1707a115c",
        "training/us50_messiest_manual_label.xml": "98ae9608fcaa2b82858d11b969b897cc2a75ffd7d391119d2cb526fe80d81016",
    },
)

#: Two addresses have a label of another scheme.
_RENAMED = {"suffix": "StreetNamePostDirectional"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """An address, or what somebody wrote where one was asked for.

    Attributes:
        words: in order, punctuation at their ends.
        labels: of each word, such as ``StreetName``.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]


def load_addresses(folder: Path | None = None) -> tuple[Address, ...]:
    """Read all 1,634 labelled addresses, in the order of the files.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
    """
    found = []
    for path in find(PACKAGE, folder).values():
        for element in ET.parse(path).getroot():  # noqa: S314  (its hash was checked)
            # A few elements hold several words.
            pairs = [(word, _RENAMED.get(part.tag, part.tag)) for part in element for word in (part.text or "").split()]
            if pairs:
                found.append(Address(words=tuple(one for one, _ in pairs), labels=tuple(one for _, one in pairs)))
    return tuple(found)
