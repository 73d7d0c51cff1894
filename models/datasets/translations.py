"""English texts with their French ones: what LibreOffice shows, and names of countries, languages and the like.

Two sources: Debian's `libreoffice-l10n-fr` (MPL-2.0) and the catalogues of the Python package `pycountry`, which are
those of `iso-codes` (LGPL-2.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import catalogues
from .packages import Package, find

if TYPE_CHECKING:
    from pathlib import Path

    from .catalogues import Message

_OFFICE_FOLDER = "usr/lib/libreoffice/program/resource/fr/LC_MESSAGES/"
_NAMES_FOLDER = "pycountry/locales/fr/LC_MESSAGES/"

OFFICE = Package(
    kind="deb",
    name="libreoffice-l10n-fr",
    version="4:7.4.7-1+deb12u14",
    licence="MPL-2.0",
    files={_OFFICE_FOLDER: "d5308ed5b5d08f02197ebca5131574a5f5b9d8e6e4c1e271db36d485e86657de"},
)

NAMES = Package(
    kind="wheel",
    name="pycountry",
    version="26.2.16",
    licence="LGPL-2.1",
    files={_NAMES_FOLDER: "8e494932f7b0276868984d45583be23bc681432f26b8f8c92d0de77ff7027716"},
)

#: Countries of now and once, languages and their families, scripts, currencies. Subdivisions (`iso3166-2`) are left
#: out: their names are in the language of the place as a rule, not in English.
_KINDS = ("iso3166-1", "iso3166-3", "iso639-3", "iso639-5", "iso15924", "iso4217")


def office(folder: Path | None = None) -> list[Message]:
    """The texts of LibreOffice 7.4, 28,447 messages: menus, dialogs, tips, functions, errors.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Raises:
        MissingDataError: they are not there.
        AlteredDataError: they are another version's.
    """
    place = find(OFFICE, folder)[_OFFICE_FOLDER]
    return [message for path in sorted(place.glob("*.mo")) for message in catalogues.read(path)]


def names(folder: Path | None = None) -> list[Message]:
    """Names of countries, languages, scripts and currencies.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Raises:
        MissingDataError: they are not there.
        AlteredDataError: they are another version's.
    """
    place = find(NAMES, folder)[_NAMES_FOLDER]
    return [message for kind in _KINDS for message in catalogues.read(place / f"{kind}.mo")]
