"""gzip and deflate, and bombs of them."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest

from rnnx.errors import MediaError, RequestError, RequestTooLargeError
from rnnx.runtime.serving.protocol.compression import choose, compress, decompress

TEXT = b"rows of a matrix, " * 200


def zipped(data):
    """Without the time: these bytes name tests, which every process must name alike."""
    return gzip.compress(data, mtime=0)


def bare(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(data) + machine.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", zipped(TEXT)),
        ("GZip ", zipped(TEXT)),
        ("x-gzip", zipped(TEXT)),
        ("gzip", zipped(TEXT[:100]) + zipped(TEXT[100:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
    ],
)
def test_bodies_come_back(encoding, body):
    assert decompress(body, encoding, len(TEXT)) == TEXT


@pytest.mark.parametrize(
    ("encoding", "body", "kind", "message"),
    [
        ("br", TEXT, MediaError, "Content-Encoding is 'br'. Send it as it is, or as gzip or deflate"),
        ("gzip, gzip", zipped(TEXT), MediaError, "Content-Encoding is 'gzip, gzip'"),
        ("gzip", TEXT, RequestError, "the body is not gzip: .*incorrect header"),
        ("gzip", b"", RequestError, "the body of gzip is cut off"),
        ("gzip", zipped(TEXT)[:-9], RequestError, "the body of gzip is cut off"),
        ("gzip", zipped(TEXT)[:-8] + bytes(8), RequestError, "not gzip: .*incorrect data check"),
        ("gzip", zipped(TEXT) + b"more", RequestError, "not gzip|cut off"),
        ("gzip", zipped(b"") * 20, RequestError, "more than 16 members"),
        ("deflate", b"\x00", RequestError, "cut off|not deflate"),
        ("deflate", b"\xff" * 50, RequestError, "the body is not deflate"),
        ("deflate", zlib.compress(TEXT)[:-4], RequestError, "the body of deflate is cut off"),
        ("deflate", zlib.compress(TEXT) + b"more", RequestError, "4 bytes follow the body of deflate"),
        ("gzip", zipped(TEXT + b"!"), RequestTooLargeError, f"inflates to more than {len(TEXT)} bytes"),
        ("", TEXT + b"!", RequestTooLargeError, "the body has 3601 bytes; at most 3600"),
    ],
)
def test_wrong_bodies_are_refused(encoding, body, kind, message):
    with pytest.raises(kind, match=message):
        decompress(body, encoding, len(TEXT))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_stops_at_the_limit(encoding):
    content = bytes(200 << 20)
    bomb = gzip.compress(content, 9) if encoding == "gzip" else zlib.compress(content, 9)
    del content
    assert len(bomb) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(RequestTooLargeError, match="inflates to more than 1000000 bytes"):
            decompress(bomb, encoding, 1_000_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4_000_000


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate;q=1.0, gzip;q=0.5", "deflate"),
        ("gzip;q=0", ""),
        ("gzip;q=0, deflate", "deflate"),
        ("*", "gzip"),
        ("*;q=0", ""),
        ("identity", ""),
        ("identity;q=1, gzip;q=0.5", ""),
        ("br", ""),
        ("gzip;q=rubbish", ""),
        ("gzip;q=nan", ""),
        (",,;;", ""),
    ],
)
def test_the_encoding_that_a_client_likes_best(accept, expected):
    assert choose(accept) == expected


def test_answers_are_compressed_where_it_is_worth_it():
    content, name = compress(TEXT, "gzip")
    assert (gzip.decompress(content), name) == (TEXT, "gzip")
    content, name = compress(TEXT, "deflate")
    assert (zlib.decompress(content), name) == (TEXT, "deflate")
    assert compress(b"short", "gzip") == (b"short", "")
    assert compress(TEXT, "") == (TEXT, "")
    noise = random.Random(0).randbytes(2000)  # noqa: S311  (no secret)
    assert compress(noise, "gzip") == (noise, "")
