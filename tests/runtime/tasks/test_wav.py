"""WAV files against the standard library's reader, ITU-T G.711's tables, and themselves."""

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnx.errors import InputError
from rnnx.runtime.tasks.wav import read_wav, wav_bytes, write_wav


def build(data, *, tag=1, channels=1, rate=8000, bits=16, extra=b"", before=b"", size=None):
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + extra
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extensible(tag, bits):
    guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
    return struct.pack("<HHI", 22, bits, 0) + guid


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=40).filter(lambda one: len(one) % 2 == 0),
    st.sampled_from([1, 2]),
    st.sampled_from([8000, 44100]),
)
def test_what_is_written_is_read_again(values, channels, rate):
    samples = np.array(values, np.float32).reshape(-1, channels)
    found, found_rate = read_wav(wav_bytes(samples, rate))
    assert found_rate == rate
    assert found.dtype == np.float32
    # Half a step of 16 bits, a whole one at 1, for which there is no number.
    np.testing.assert_allclose(found, samples, rtol=0, atol=np.where(samples > 0.9999, 1, 0.5).max() / 32768 + 1e-7)


def test_the_standard_library_reads_it(tmp_path):
    path = tmp_path / "out.wav"
    write_wav(path, np.array([0, 0.5, -1, 2.0]), 8000)
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [0, 16384, -32768, 32767]
    assert [one.name for one in tmp_path.iterdir()] == ["out.wav"]


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_whole_numbers(bits):
    top = 2 ** (bits - 1)
    values = [0, 1, top - 1, -top, -1]
    size = bits // 8
    data = b"".join((one + (128 if bits == 8 else 0)).to_bytes(size, "little", signed=bits != 8) for one in values)
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(size)
        file.setframerate(16000)
        file.writeframes(data)
    found, rate = read_wav(made.getvalue())
    assert rate == 16000
    np.testing.assert_array_equal(found[:, 0], (np.array(values) / top).astype(np.float32))


@pytest.mark.parametrize(("bits", "dtype"), [(32, "<f4"), (64, "<f8")])
@pytest.mark.parametrize("extended", [False, True])
def test_floats(bits, dtype, extended):
    values = np.array([0, 0.25, -0.5, 1.5], dtype)
    options = {"tag": 0xFFFE, "extra": extensible(3, bits)} if extended else {"tag": 3}
    found, _ = read_wav(build(values.tobytes(), bits=bits, **options))
    np.testing.assert_array_equal(found[:, 0], values.astype(np.float32))


def test_extended_pcm_of_several_channels_and_other_chunks():
    values = np.array([[1, 2, 3], [4, 5, 6]], "<i2")
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    content = build(values.tobytes(), tag=0xFFFE, channels=3, extra=extensible(1, 16), before=odd)
    np.testing.assert_array_equal(read_wav(content)[0] * 32768, values)


@pytest.mark.parametrize(
    ("tag", "codes", "values"),
    [
        # ITU-T G.711, tables 2a and 1a: the ends, and the steps around zero, as 16 bits.
        (7, [0xFF, 0x7F, 0x80, 0x00, 0xFE, 0x7E], [0, 0, 32124, -32124, 8, -8]),
        (6, [0xD5, 0x55, 0xAA, 0x2A, 0xD4, 0x54], [8, -8, 32256, -32256, 24, -24]),
    ],
)
def test_telephones(tag, codes, values):
    found, _ = read_wav(build(bytes(codes), tag=tag, bits=8))
    np.testing.assert_array_equal(found[:, 0] * 32768, values)


@pytest.mark.parametrize("tag", [6, 7])
def test_telephones_grow_from_the_middle_on(tag):
    found = read_wav(build(bytes(range(256)), tag=tag, bits=8))[0][:, 0]
    order = np.array([one ^ 0x55 for one in range(256)]) if tag == 6 else ~np.arange(256) & 0xFF
    positive = found[np.argsort(order)][128:] if tag == 6 else -found[np.argsort(order)][128:]
    assert (np.diff(positive) > 0).all()
    np.testing.assert_array_equal(np.sort(found), -np.sort(found)[::-1])


def test_a_writer_into_a_pipe_does_not_know_the_size():
    found, _ = read_wav(build(b"\1\0\2\0", size=0xFFFFFFFF))
    assert (found * 32768).tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is no WAV file \(it is empty\)"),
        (b"OggS" + bytes(20), r"is no WAV file \(it looks like Ogg\)"),
        (b"fLaC" + bytes(20), "it looks like FLAC"),
        (b"hello, this is text", "is no WAV file. Give a WAV file: PCM of 8, 16"),
        (build(b"\0\0")[:18], "has no format"),
        (build(b"\0\0")[:30], "its format has 10 bytes of 16"),
        (build(b"")[:36], "has no samples"),
        (build(b""), "holds no samples"),
        (build(b"\0"), "holds no samples"),
        (build(bytes(6), size=10), "is cut off: 6 of 10 bytes"),
        (build(bytes(8), tag=2, bits=4), "of format 2 with 4 bits. Convert it"),
        (build(bytes(8), bits=12), "of format 1 with 12 bits"),
        (build(bytes(8), channels=0), "says that it has 0 channels"),
        (build(bytes(8), rate=0), "has the sample rate 0 Hz; allowed are 100 to 768000 Hz"),
        (build(bytes(8), rate=2_000_000_000), "has the sample rate 2000000000 Hz"),
        (build(np.array([32767], "<f4").tobytes(), tag=3, bits=32), "goes up to 32767; sound is from -1 to 1. Divide"),
        (build(bytes(8), tag=0xFFFE, extra=bytes(24)), "extended format that is not known"),
        (build(np.array([np.nan], "<f4").tobytes(), tag=3, bits=32), "holds NaN or infinity"),
        (b"RIFF\0\0\0\0WAVEdata\2\0\0\0ab", "its samples come before its format"),
    ],
)
def test_broken_files(content, message):
    with pytest.raises(InputError, match=message):
        read_wav(content, "'x.wav'")


@given(st.binary(max_size=80))
def test_any_cut_or_change_is_read_or_refused(noise):
    content = bytearray(build(np.arange(8, dtype="<i2").tobytes()))
    for at, one in enumerate(noise):
        content[(at * 7 + one) % len(content)] = one
    for piece in (bytes(content), bytes(content[: len(noise)])):
        try:
            samples, rate = read_wav(piece)
        except InputError:
            continue
        assert np.isfinite(samples).all()
        assert rate > 0


@pytest.mark.parametrize(
    ("samples", "message"), [(np.array([np.nan]), "NaN or infinity"), (np.zeros((1, 1, 1)), r"shape \(1, 1, 1\)")]
)
def test_what_is_no_sound_is_not_written(samples, message, tmp_path):
    with pytest.raises(InputError, match=message):
        write_wav(tmp_path / "x.wav", samples, 8000)
    assert not list(tmp_path.iterdir())
