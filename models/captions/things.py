"""What stands in the scenes: 53 things, their names, and their pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..datasets import emoji

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The committed pictures: ``rgba``, uint8 ``(things, 24, 24, 4)``.
SPRITES = Path(__file__).with_name("sprites.npz")
SIZE = 24

_VOWELS = "aeio"


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One kind of thing.

    Attributes:
        colour: such as ``red``, of things that come in several; else empty.
        noun: for one of it.
        plural: for several.
        code: the code point of its picture, in hexadecimal digits.
        sha256: of the picture's file.
    """

    colour: str
    noun: str
    plural: str
    code: str
    sha256: str

    @property
    def name(self) -> str:
        """Colour and noun."""
        return f"{self.colour} {self.noun}".strip()

    def counted(self, count: int) -> str:
        """``a red heart``, ``two red hearts`` or ``three red hearts``."""
        number = {1: "an" if self.name[0] in _VOWELS else "a", 2: "two", 3: "three"}[count]
        return " ".join(word for word in (number, self.colour, self.noun if count == 1 else self.plural) if word)


def _thing(name: str, plural: str, code: str, sha256: str) -> Thing:
    colour, _, noun = name.rpartition(" ")
    return Thing(colour=colour, noun=noun, plural=plural, code=code, sha256=sha256)


_TABLE = (
    ("red heart", "hearts", "2764-fe0f", "c74eeeb02c5d7a6724464f3a8b3e6ccb724b774f5e30905f7a6be12fdf51a5d1"),
    ("orange heart", "hearts", "1f9e1", "107e9f33ef25d22e5f7a2fcbec8465ce76401871e0809ffe119e0d141c6e40e0"),
    ("yellow heart", "hearts", "1f49b", "52b183fc7d6d00abef24134cf1d94087ca0525237627e706e660ec035814414c"),
    ("green heart", "hearts", "1f49a", "cce63c5269a1be044dd288753fea9190348b1f67c24324fc9c54c6436e132c4c"),
    ("blue heart", "hearts", "1f499", "24f5ce16b06be0fdea8e79ab85878e480df43622f3a8083a044b8924c7d5cca4"),
    ("purple heart", "hearts", "1f49c", "d9dfd73283c6fcfe53295b28435c2511beb7f505214db61928ff1486080def40"),
    ("brown heart", "hearts", "1f90e", "b3654ee91412b31328a86753832ac7095a42c1af6b263302270b1f7b6213725a"),
    ("red circle", "circles", "1f534", "3d4d8aed4101a159cf471b89fb5a65516821c1501a44fe92dfb1741d7d916437"),
    ("orange circle", "circles", "1f7e0", "ace02f40df74e9718ff0889ea2b8b77198ddcfd54851d483212f0867767eeac5"),
    ("yellow circle", "circles", "1f7e1", "9770ff297021c1163893447307df6b22737cb5075a99561826431eed286b4090"),
    ("green circle", "circles", "1f7e2", "c3069be6bb07618f85460e0c0b020f563fae857572116d8f1f04b5cafc666462"),
    ("blue circle", "circles", "1f535", "b18361d0b3e731e4827efaa83b0d6b6c885975e0c2b5c476ffffb9ca9225bf6c"),
    ("purple circle", "circles", "1f7e3", "d043c017dda59b16b08d6968b76bb558d6d1efd6519d3ed1fcdffb1b50d8b6bd"),
    ("brown circle", "circles", "1f7e4", "bb22ec3d5d22508dc1c8b97c02040b217327a8918f765e9805db51b9f801a3cb"),
    ("red square", "squares", "1f7e5", "f99b9508cde31d4c23d0de885f8b6fd35295768aa6bb86c9a2302b8339aff1da"),
    ("orange square", "squares", "1f7e7", "c0b5f72bfc93516a06f72d16dda5f1e1a09a8a476444e69f14e29c5b12352ec5"),
    ("yellow square", "squares", "1f7e8", "f284973fe8f582ed42ee8e710ced6c1b6cd53eb983ab1c044cd2a85e429370c3"),
    ("green square", "squares", "1f7e9", "9866890b5116bf1e6e45ff04f5a3ecc125a55da9594b629125ddd11a61c435e7"),
    ("blue square", "squares", "1f7e6", "7d278f50d6fdbc4a59a490a264676acaf094693f60267d3290dc6688d3557485"),
    ("purple square", "squares", "1f7ea", "596c4e1a760d8ac075e7494cc8f7147588b93783ef9a0e7e911e2ce1483b2e2f"),
    ("brown square", "squares", "1f7eb", "9aafe4b9a771ac487f4e70cf768a1d9701c8daea37fc042a297050080e249ff4"),
    ("red book", "books", "1f4d5", "0a1549a2151c43bbc1d909a58448586e3f9f1c376cf28bb784b608278718c12b"),
    ("green book", "books", "1f4d7", "446095d1988af385173e77196707f4641eb2a31424ff44ccac120b42c0db388c"),
    ("blue book", "books", "1f4d8", "1176e5cf4e5bbe925013a5933ccc807ee77d79f56c48e31ae8303db10e48703e"),
    ("orange book", "books", "1f4d9", "85e5b2a80493b6825b6759d1d68d8c724b404753d1ce03aa73f89f20c62691e7"),
    ("red apple", "apples", "1f34e", "ec2ba9075a91d31ee5632bf977b5eac29b64243e3d45418b0040a1a1883f5105"),
    ("green apple", "apples", "1f34f", "3a33ebf33f5875d05f74d4408f5582d7ac74e55be4eb05392b735de7906fdc5b"),
    ("red car", "cars", "1f697", "3a1acd196614bd473750dfbb44999f2ca537a06951475aef896ed7ef611ff57e"),
    ("blue car", "cars", "1f699", "35f7fa46be73387917710a3f858fe6695fb50f68a7c8b25ad1debf930646b181"),
    ("dog", "dogs", "1f436", "d0b8f4cfe2c7ee7823c958afbbd43e5584bd57e16b89bddfc326f6e251a830fa"),
    ("cat", "cats", "1f431", "1fcc2c2fa7c0f9d258535a71118b7ea99d8b3fc51886e447e9d00178017019e5"),
    ("rabbit", "rabbits", "1f430", "44ef64e1a6a42d5a32aad8b9e6945142779b1d5ee259000406fc72aa55809d20"),
    ("bear", "bears", "1f43b", "1f1270b06b29c427af96c5c02363ed07828586f3ae14d89622e1ac3914b3de1c"),
    ("pig", "pigs", "1f437", "bef4c2073d30c0bce279fd34e250041995acf07fb5cc2c5ab0933149eeaf0b7d"),
    ("frog", "frogs", "1f438", "46308b80538670d2e73b966bc470df65df008a01eafdd9d65afd6423221dc024"),
    ("penguin", "penguins", "1f427", "6e0be640f2319477a7f94bd78c89a30ee0dfab37ba8ce9565d37d9bc71096d0e"),
    ("bird", "birds", "1f426", "591027f4893ac62d99708b7b0835bec301ce91b4218655ae0206882b67231189"),
    ("fish", "fish", "1f41f", "d06b166a80cb109cf3cc10e6bc0f8e9e027e8c644f361be0b6f0664ac7b39af7"),
    ("crab", "crabs", "1f980", "c08cf84b7eeb56c310d6f12ebacc11f37cb536cfc2acdde209090fa40470f445"),
    ("bee", "bees", "1f41d", "d2481178489d79672127a85ea4829cb71c3bb91f3abe0db8d5d4cab06eca9de7"),
    ("banana", "bananas", "1f34c", "ff95dfb8bc6c910793a31042718e6c3a7fe9a74f57336f9b79e3cff4141d9f66"),
    ("pear", "pears", "1f350", "2fa21d7df6091d4250f23372b66a9f2d4b0e537d948cd15fde96e9bd16ba657c"),
    ("carrot", "carrots", "1f955", "879945a1da67d4273363b3cd514d1459c8a3f84425df7fac5079bf2a83ed19b6"),
    ("cake", "cakes", "1f370", "97e10943624baaa512f36cecbb398fd3add17cb3f2236ab91468475051c11d9b"),
    ("guitar", "guitars", "1f3b8", "db662202351798ebe68aca018de03bc291fa4e31716957c258db09af54c49726"),
    ("tree", "trees", "1f333", "71edd074743ec0fa1e1c9228b2a52033bb06994094cbb0dc5f1a9d0031eaae2e"),
    ("rose", "roses", "1f339", "ac2590d3de3a9873a0a9208cf2117e2648524a3dbc186785776a97963c80dcb9"),
    ("star", "stars", "2b50", "8e77cfdb3ad89ed803e11712cbd6f45484bb42f9a911b7436749328403288280"),
    ("key", "keys", "1f511", "e70a31d9541797dfb67496888301ecba4926cc9335281582dd40c97c3f2890bb"),
    ("bus", "buses", "1f68c", "2b79e656103cc42e3fc1906f901e505ff5f5c0b13d87ec3bddb9e471332df6d8"),
    ("bell", "bells", "1f514", "3a4aa104254d84283c845c808f46522bb93cc6216deb49f86a36d9b043a5dac1"),
    ("crown", "crowns", "1f451", "32166cc57e71ae649ebbecf36c118b92928b8f2f0d614366cc1e762afd5f97e4"),
    ("mushroom", "mushrooms", "1f344", "5e66c40a8e5d919fd1b813b3c4b172614cf5ea8edb7c292013d0a0d25d5811a3"),
)

THINGS = tuple(_thing(*row) for row in _TABLE)


def make_sprites(folder: Path | None) -> bytes:
    """The file of pictures, from the package; the same bytes where Pillow and zlib are the same.

    Raises:
        MissingDataError, AlteredDataError, MissingExtraError: the package or Pillow is not there.
    """
    file = io.BytesIO()
    np.savez_compressed(file, rgba=emoji.load({thing.code: thing.sha256 for thing in THINGS}, SIZE, folder))
    return file.getvalue()


@cache
def sprites(size: int) -> NDArray[np.float32]:
    """The pictures at some size, between the values of their neighbours where sizes do not agree.

    Args:
        size: pixels of a side, from 2.

    Returns:
        float32 ``(things, size, size, 4)``, 0 to 1: red, green and blue times opacity, and opacity. Not to be written.
    """
    with np.load(SPRITES, allow_pickle=False) as stored:
        rgba = stored["rgba"].astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]  # so that what is transparent lends no colour to what is beside it
    weights = _resampling(rgba.shape[1], size)
    resized: NDArray[np.float32] = np.einsum("ij,njkc,lk->nilc", weights, rgba, weights, optimize=True)
    resized.setflags(write=False)
    return resized


def _resampling(before: int, size: int) -> NDArray[np.float32]:
    """Weights ``(size, before)``: triangles, widened where the picture becomes smaller, so that no pixel is skipped."""
    scale = before / size
    centres = (np.arange(size) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(before)[None] - centres[:, None]) / max(scale, 1)
    weights = np.clip(1 - distance, 0, None)
    normalised: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return normalised
