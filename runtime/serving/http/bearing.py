"""The bearer token of HTTP (RFC 6750): whether a request has it."""

from __future__ import annotations

import hmac

_SCHEME = b"Bearer "


class Bearer:
    """What a request must bear, ``authorization: Bearer TOKEN``."""

    def __init__(self, token: str) -> None:
        """Ask for a token, ASCII; empty for nothing."""
        self._wanted = _SCHEME + token.encode("ascii") if token else b""

    def __bool__(self) -> bool:
        """Whether one is asked for."""
        return bool(self._wanted)

    def lets_in(self, given: bytes) -> bool:
        """Whether the header ``authorization`` is right; everything is where no token is asked for."""
        if not self._wanted:
            return True
        # Of one time, however many characters are right; scheme names are not case-sensitive (RFC 9110, 11.1).
        size = len(_SCHEME)
        return hmac.compare_digest(given[:size].title() + given[size:], self._wanted)
