"""Number words said by a person: David C Dawson's sounds for ``saytime``, in a Debian package (GPL)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .packages import Package, find

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_FOLDER = "usr/share/saytime/"
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_TEENS = ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
#: The file of each word.
FILES = {
    **{word: f"{number}.au" for number, word in enumerate((*_SMALL, *_TEENS))},
    "twenty": "20.au",
    "thirty": "30.au",
    "forty": "40.au",
    "fifty": "50.au",
    "oh": "oh.au",
    "and": "and.au",
}

PACKAGE = Package(
    kind="deb",
    name="saytime",
    version="1.0-35",
    licence="GPL",
    files={
        _FOLDER + "0.au": "59013b21598958a78521c5810a4954a49b47750514917b1b07c6f19da0b79682",
        _FOLDER + "1.au": "76e758aec245f7f4ad8d534f36273fc6caca8271bf7271069395268ea2e9fa5b",
        _FOLDER + "2.au": "b977763f4373e56df63f51aa22de41e2914a7d5f880fd96754cb315e6c6cbd9f",
        _FOLDER + "3.au": "565fcbebe46198970337a74f0cf56eef2812cf384023da4a55da14027d467d31",
        _FOLDER + "4.au": "f02e668d0babb110b8ef0698a9959a7a2ccc20f3fd083ecc24639d7c78e5ed88",
        _FOLDER + "5.au": "93faee853004636da0a630a35f699f67886cc8d0da61204c8b546aec7c8c81fe",
        _FOLDER + "6.au": "cc8c2f304e9a7f35da56cfa015e3dc47512034047c5d0f8b781618f964722d6f",
        _FOLDER + "7.au": "b5f09940acdcd2424dbf5d022ba8b0a9b8db86ea0c8eb02a0d91d3925f8dad17",
        _FOLDER + "8.au": "aa9e693ba75661391c18b0a97c4ff979ce92fa583cd25012f4a0c5a932d3f402",
        _FOLDER + "9.au": "5e16a63d629e8da74ac94594c8242731f87850b7dd7dbc59d82f25544a539207",
        _FOLDER + "10.au": "b65e9609ef9c18dcedbd4aa35318e3dc6f075a8db2a1509c1dc9f39d225e554d",
        _FOLDER + "11.au": "d6e2e37be7e6acb5c4b30444f16cd43bb704ff7a8d65e535f14c29858c445256",
        _FOLDER + "12.au": "e70874955f8b8f6e89e40a1bc0fdf810c041c02018defc1fd46a7cec59a17a39",
        _FOLDER + "13.au": "e20bba8090dc0b90dad1d519cec4013dda8d00b99c1448244470872bf687100d",
        _FOLDER + "14.au": "2714971e0a92996dd1055e1c2e75e1498d1f3b7679fcb8080a7d08575dada52d",
        _FOLDER + "15.au": "fa0241497d7d5897d1686683c5c227e9f2cb661c63aa8137eec7880150fea362",
        _FOLDER + "16.au": "e14a9b8edad1fa6304193ed5d8aeb13b46a581d8cfdbeaca15e22cb2989242de",
        _FOLDER + "17.au": "c000f8dacd6e78c88119a8a31c004ad560e740d1af9b1f7a9b101e440cb9a756",
        _FOLDER + "18.au": "84de05f7b637105cbf195fb91036aecf215ab5a027d216f4714deb02b37a9209",
        _FOLDER + "19.au": "cd61d3ba0362c09e5672561d203523a80284439316639bae229410a028312aa6",
        _FOLDER + "20.au": "3eacaa2fbe2f3020f68bc701884439e62f914a1bc874d716529dd16f73b7278c",
        _FOLDER + "30.au": "6b9c0f9cfdc3819dfa2ad5bf29c633de2c15501fc050d8d606c80ed6c75927f7",
        _FOLDER + "40.au": "b01b76190cea925bc9f630f9b8f99b0f2e68cff97c45cfa7b9d7af9a82c4d3e6",
        _FOLDER + "50.au": "e1ff9626f49062943f91d25fa460325bbd5cedd99310de3343d8e00992b2a284",
        _FOLDER + "and.au": "55cc65cb962be59bc7c8768f53a4e652a8c5ce47215abd19f3fa6a12f56edd74",
        _FOLDER + "oh.au": "4df292e78f4a8645d8d92baa32afc9fc95062816074b322f7e872581bbee82bc",
    },
)


def number_words(folder: Path | None = None) -> dict[str, NDArray[np.float32]]:
    """The recordings, by word.

    Args:
        folder: where the package was unpacked, if it is not installed.

    Returns:
        float32 ``(samples,)`` each at 8 kHz, from -1 to 1.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version.
    """
    paths = find(PACKAGE, folder)
    return {word: mu_law(paths[_FOLDER + name].read_bytes()) for word, name in FILES.items()}


def mu_law(codes: bytes) -> NDArray[np.float32]:
    """Samples of the bytes that telephones send, without a header: ITU-T G.711, table 2a."""
    bits = ~np.frombuffer(codes, np.uint8) & 0xFF
    values = ((2 * (bits & 15).astype(np.int64) + 33) << (bits >> 4 & 7)) - 33
    return (np.where(bits & 0x80, -values, values) / 8192.0).astype(np.float32)
