"""Tokens with which a stream goes on elsewhere: its state, compressed, with the time, under a signature.

Form: the letters and digits of URL-safe base64 over ``HMAC-SHA256 (32 bytes) | form (1 byte) | issued (8 bytes, seconds
since 1970, big-endian) | zlib(State.to_bytes())``. The signature covers everything behind it (RFC 2104) and is compared
before anything else is read, so that nobody but a server with the same key can hand in a state.

A token is a value, as the state is: it may be used several times, and each use goes on from the same place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import time
import zlib
from typing import TYPE_CHECKING

from ...errors import ServerError, TokenError
from ..state import State

if TYPE_CHECKING:
    from collections.abc import Callable

_FORM = 1
_HEAD = struct.Struct(">BQ")
_SIGNATURE = hashlib.sha256().digest_size
#: Shorter keys could be guessed (RFC 2104 asks for as many bytes as the hash has).
MINIMUM_KEY_BYTES = 32


class TokenKeeper:
    """Makes and reads tokens under one key. Thread-safe; it holds no streams."""

    def __init__(
        self,
        key: bytes | None = None,
        *,
        lifetime_s: float = 3600.0,
        max_state_bytes: int = 16 << 20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take a key that other servers share, or make one that dies with this object.

        Args:
            key: at least 32 bytes; None for a random one.
            lifetime_s: how long a token can be used, seconds.
            max_state_bytes: the largest state that is handed out or read.
            clock: seconds since 1970.

        Raises:
            ServerError: the key is too short.
        """
        if key is not None and len(key) < MINIMUM_KEY_BYTES:
            raise ServerError(
                f"the token key has {len(key)} bytes; it must have at least {MINIMUM_KEY_BYTES}. "
                "Make one: head -c 32 /dev/urandom > FILE."
            )
        self._key = secrets.token_bytes(MINIMUM_KEY_BYTES) if key is None else key
        self._lifetime_s = lifetime_s
        self._max_state_bytes = max_state_bytes
        self._clock = clock

    def issue(self, state: State) -> str:
        """The token of a state.

        Raises:
            TokenError: the state is larger than tokens may be.
        """
        raw = state.to_bytes()
        if len(raw) > self._max_state_bytes:
            raise TokenError(
                f"the stream's state has {len(raw)} bytes; tokens carry up to {self._max_state_bytes}. "
                "Keep the stream open instead."
            )
        content = _HEAD.pack(_FORM, int(self._clock())) + zlib.compress(raw, 1)
        return base64.urlsafe_b64encode(self._sign(content) + content).decode("ascii")

    def read(self, token: str) -> State:
        """The state of a token. Whose it is, is checked where it is used.

        Raises:
            TokenError: the token is too long, altered, of another key, or too old.
        """
        # Compression never makes more than a few bytes of it, and base64 a third.
        if len(token) > (self._max_state_bytes + 1024) * 4 // 3:
            raise TokenError(f"the token has {len(token)} characters, more than any token of this server.")
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise TokenError(f"this is no token: {error}. Send what the server gave, unchanged.") from None
        signature, content = raw[:_SIGNATURE], raw[_SIGNATURE:]
        if len(content) < _HEAD.size or not hmac.compare_digest(signature, self._sign(content)):
            raise TokenError(
                "the token was altered, or another server's key signed it. Begin the stream again; replicas that "
                "resume each other's streams need one --token-key-file."
            )
        form, issued = _HEAD.unpack_from(content)
        age_s = self._clock() - issued
        if form != _FORM or age_s > self._lifetime_s:
            why = f"is of form {form}" if form != _FORM else f"is {age_s:.0f} s old"
            raise TokenError(f"the token {why}; form {_FORM} and {self._lifetime_s:g} s are allowed. Begin again.")
        inflater = zlib.decompressobj()
        try:
            state = inflater.decompress(content[_HEAD.size :], self._max_state_bytes)
        except zlib.error as error:  # signed by the same key, and yet none of ours
            raise TokenError(f"the token's state cannot be unpacked: {error}. Begin the stream again.") from error
        if not inflater.eof:
            raise TokenError(f"the token's state is larger than {self._max_state_bytes} bytes. Begin the stream again.")
        return State.from_bytes(state)

    def _sign(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")
