"""Number words said by a person: Allison Smith's telephone prompts for Asterisk, in a Debian package (CC-BY-SA-3.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .packages import Package, find
from .spoken import SAMPLE_RATE, SpeechProgramError, read_wav

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_FOLDER = "usr/share/asterisk/sounds/en_US_f_Allison/"
_NAMED = ("hundred", "thousand", "million", "billion", "oh", "minus")
_VALUES = {
    **dict(enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))),
    **dict(enumerate(("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"), 10)),
    **dict(enumerate(("seventeen", "eighteen", "nineteen"), 17)),
    20: "twenty",
    30: "thirty",
    40: "forty",
    50: "fifty",
    60: "sixty",
    70: "seventy",
    80: "eighty",
    90: "ninety",
}
#: The file, below the package's folder of sounds, of each word.
FILES = {
    **{word: f"digits/{number}.wav" for number, word in _VALUES.items()},
    **{word: f"digits/{word}.wav" for word in _NAMED},
    "and": "vm-and.wav",
}

PACKAGE = Package(
    kind="deb",
    name="asterisk-core-sounds-en-wav",
    version="1.6.1-1",
    licence="CC-BY-SA-3.0",
    files={
        _FOLDER + "digits/0.wav": "62debe1daf11756460c0de78d0e1ac7fe28b12fb51a30df3364ce74b90f05d31",
        _FOLDER + "digits/1.wav": "fb38aca5558d50f7bd4d7986adeea19b97eba894c574fc92acc3b33b480eb701",
        _FOLDER + "digits/2.wav": "6ef0a6b67a1741e950c491ef664bbfb424b63fab314d616d6f0e467cc0838dee",
        _FOLDER + "digits/3.wav": "4ec0371d15f721c61be36fe6ca54d0de29d9b9a48062634969556c50ff81faed",
        _FOLDER + "digits/4.wav": "f1c007fbd2eefa235ea10260b79527b89b88f6d2182008e86221572ad92f204f",
        _FOLDER + "digits/5.wav": "412b4b7729a8bae7b2b13ad8af9f6989abba8a4b9d5fc1c499b13a3b986653a5",
        _FOLDER + "digits/6.wav": "89c80e3c120f90112159d911568d2ca4a13f369a864ee26e882802385fab2474",
        _FOLDER + "digits/7.wav": "125c9acb8b5b6549079233c922782bfdf585d8c438906467921329669c6939fe",
        _FOLDER + "digits/8.wav": "854114f9f3bb94d36490b2951957a662e75212648a5e2330f1f3c56184d30488",
        _FOLDER + "digits/9.wav": "535d4117923ad8bac20185eb0746b421479ddec4f4acd2329285096a573d6e34",
        _FOLDER + "digits/10.wav": "f751f3503f50a2bb7aa1fa5a789a2dfd83573f55be0df8661be4c95d85a402cf",
        _FOLDER + "digits/11.wav": "a56fe72585b6a29dece883f42faaf7dd2e6b73b5c6dd83a3be0c2cfd30408a4d",
        _FOLDER + "digits/12.wav": "24570b35fe1aea7e3ebdbd2efe43c54ee4c78c7b4481bd8e1a0597d43f0772a2",
        _FOLDER + "digits/13.wav": "9d2b26b5cc7ef3cd76d503416fcc36c9a2d31fcc0bba43a01578f6c4c4890489",
        _FOLDER + "digits/14.wav": "03c68c815a38e50c0ab6c14bb3313ef1efaeea85d1bc2497974451500c7f4ecc",
        _FOLDER + "digits/15.wav": "f1ccd769f7ead8eb104c62728f2fbff2a0f2dd40e697eade24ff9a64ccd0af10",
        _FOLDER + "digits/16.wav": "14095c5761f7e616e5c196014e7101f7c5e19c530aee0ffcbbc28d57b68896a4",
        _FOLDER + "digits/17.wav": "9ebbb9daec6567b58d314e8c2ef2d195cb4773961dce3f026981ebb3a3813dc8",
        _FOLDER + "digits/18.wav": "fc450fbc48b4c70a7a3342c04914acb2e5c0d34c905925adff4580cfffd3f478",
        _FOLDER + "digits/19.wav": "dfe4ec7d1cf484fa947c79eae2e2f895e11907fb4dd4b5e2c629b417b927239c",
        _FOLDER + "digits/20.wav": "5c4550eb8b11d4b7a4cf5a5132e8f48624e78c9302e22011f36e98cc1acd723a",
        _FOLDER + "digits/30.wav": "cfcf2b534791c6a8ff393af6195353ec2ffeea8939633bffc3819069eb63281e",
        _FOLDER + "digits/40.wav": "80337ee92ddf5b0338bcacd1b9c1d27f29cb982950a5d2f59f2675c9351894ff",
        _FOLDER + "digits/50.wav": "ffe94b7b90a2fdc1757b83ab356936d72cd968ae6aaef9c50d437ac3496cac92",
        _FOLDER + "digits/60.wav": "47bcf9423f9577a2c4772cc92c4bfa15a39080f2fb9b1c792535f7fba626d7f2",
        _FOLDER + "digits/70.wav": "a6df863fc5cd38ae962f4426a04f6e33e6c6efc2f45b087815ed489ef8a2f630",
        _FOLDER + "digits/80.wav": "f399f5b9eea983ad86b6814d857e66e505366a672dc627749af9de8aea627c97",
        _FOLDER + "digits/90.wav": "61ed207a3bc43351134a73c4d37b10253e9c71201fc1332d09ea0b52bf80bbf8",
        _FOLDER + "digits/hundred.wav": "1fd558dc2f2df61b271e940290bfdbebefa0c1edcec427e077ab69212960f58b",
        _FOLDER + "digits/thousand.wav": "4c9150b9cdba6bb37f16919003a6c402a6ccd8b67a8205bce1eb3c5e225f9871",
        _FOLDER + "digits/million.wav": "d89075213bf6473507415176968aa32cd0f95d7a875e2d1a2684919e469fab67",
        _FOLDER + "digits/billion.wav": "3b6ab2be0b5a651e58325c3f80e7e4cbe39171e508aef6f1dce5a9850f333ce4",
        _FOLDER + "digits/oh.wav": "3674f1c9753367040f8e52c74068015564a66956c3fc32b0d3e2c700352552c6",
        _FOLDER + "digits/minus.wav": "fd7550702e71afc54ee59905e2f76843f21b040dd3183e9565e1df43b2bb9cf9",
        _FOLDER + "vm-and.wav": "8b72b49b7b8953a6cada1b35ee234d3a57c59e4afbdd778ae19d938cb4aec2b1",
    },
)


def number_words(folder: Path | None = None) -> dict[str, NDArray[np.float64]]:
    """The recordings, by word.

    Args:
        folder: where the package was unpacked, if it is not installed.

    Returns:
        float64 ``(samples,)`` each at 8 kHz, from -1 to 1.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version.
    """
    paths = find(PACKAGE, folder)
    words = {}
    for word, name in FILES.items():
        words[word], rate = read_wav(paths[_FOLDER + name].read_bytes())
        if rate != SAMPLE_RATE:
            raise SpeechProgramError(f"'{paths[_FOLDER + name]}' has {rate} samples a second; {SAMPLE_RATE} are read.")
    return words
