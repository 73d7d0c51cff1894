"""Tokens: what is signed comes back, and nothing else does."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from rnnx.errors import ServerError, TokenError
from rnnx.runtime.serving.tokens import TokenKeeper
from rnnx.runtime.state import State

KEY = bytes(range(32))


def state(size=6):
    values = {"h": np.random.default_rng(0).standard_normal((1, size)).astype(np.float32)}
    return State(owner="a" * 64 + " fp32-streaming", values=values, pending={"x": np.ones((1, 2, 3), "f4")}, waiting=2)


def test_a_state_comes_back():
    token = TokenKeeper(KEY).issue(state())
    back = TokenKeeper(KEY).read(token)
    np.testing.assert_array_equal(back.values["h"], state().values["h"])
    np.testing.assert_array_equal(back.pending["x"], state().pending["x"])
    assert (back.owner, back.waiting) == (state().owner, 2)
    assert token.isascii()


def test_every_changed_byte_is_seen():
    keeper = TokenKeeper(KEY)
    raw = base64.urlsafe_b64decode(keeper.issue(state()))
    for at in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[at] ^= 1
        with pytest.raises(TokenError, match="altered"):
            keeper.read(base64.urlsafe_b64encode(changed).decode())


@pytest.mark.parametrize("token", ["a", "ä" * 8, "!!!!", "", "AAAA", "A" * 40])
def test_what_is_no_token(token):
    with pytest.raises(TokenError):
        TokenKeeper(KEY).read(token)


def test_another_key():
    with pytest.raises(TokenError, match="--token-key-file"):
        TokenKeeper(bytes(32)).read(TokenKeeper(KEY).issue(state()))
    with pytest.raises(TokenError):  # each process has a key of its own
        TokenKeeper().read(TokenKeeper().issue(state()))


def test_old_tokens():
    now = [1000.0]
    keeper = TokenKeeper(KEY, lifetime_s=60, clock=lambda: now[0])
    token = keeper.issue(state())
    now[0] += 60
    keeper.read(token)
    now[0] += 1
    with pytest.raises(TokenError, match="the token is 61 s old"):
        keeper.read(token)


def test_large_states_and_tokens():
    small = TokenKeeper(KEY, max_state_bytes=2000)
    with pytest.raises(TokenError, match="tokens carry up to 2000"):
        small.issue(state(1000))
    # 100,000 zeros fit into a small token and must not be unpacked.
    zeros = State(owner="a", values={"h": np.zeros((1, 100_000), np.float32)})
    token = TokenKeeper(KEY).issue(zeros)
    assert len(token) < 4000
    with pytest.raises(TokenError, match="larger than 2000 bytes"):
        small.read(token)
    with pytest.raises(TokenError, match="more than any token"):
        small.read("A" * 5000)


def test_a_short_key():
    with pytest.raises(ServerError, match="the token key has 5 bytes; it must have at least 32"):
        TokenKeeper(b"12345")
