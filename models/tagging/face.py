"""What the address tagger takes and gives, for the exporter and for people."""

from __future__ import annotations

import string

from ...runtime.tasks.description import Letters, Words
from ..zoo.system import Face

#: Letters that have an embedding: what stands on an English keyboard. Others are unknown.
LETTERS = ("<pad>", "<unknown>", *(one for one in string.printable if not one.isspace()))
PAD, UNKNOWN = 0, 1
#: Longer words are cut.
MOST_LETTERS = 20

#: Parts of an address, the most frequent first.
LABELS = (
    "StreetName",
    "PlaceName",
    "AddressNumber",
    "StreetNamePostType",
    "StateName",
    "ZipCode",
    "OccupancyIdentifier",
    "StreetNamePreDirectional",
    "Recipient",
    "OccupancyType",
    "USPSBoxType",
    "StreetNamePreType",
    "StreetNamePostDirectional",
    "USPSBoxID",
    "BuildingName",
    "SubaddressIdentifier",
    "SubaddressType",
    "USPSBoxGroupType",
    "LandmarkName",
    "USPSBoxGroupID",
    "CountryName",
    "AddressNumberSuffix",
    "IntersectionSeparator",
    "NotAddress",
    "StreetNamePreModifier",
    "CornerOf",
    "AddressNumberPrefix",
    "StreetNamePostModifier",
    "ZipPlus4",
)

#: A text's words are what spaces part; the model reads their letters.
TOKENIZER = Words(
    letters=Letters(input="letters", symbols=LETTERS, unknown=UNKNOWN, pad=PAD, most=MOST_LETTERS, least=2)
)

FACE = Face(
    inputs=(f"letters: int64[batch, time, characters] < {len(LETTERS)}",),
    lengths=("lengths:time",),
    outputs=("logits",),
    ranges={"characters": (2, None)},
    streaming="off",
)
