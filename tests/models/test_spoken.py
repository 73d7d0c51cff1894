"""Speech from programs: run, read, resampled, kept."""

from __future__ import annotations

import io
import os
import sys
import wave

import numpy as np
import pytest

from rnnx.errors import MissingDataError
from rnnx.models.datasets.asterisk import number_words
from rnnx.models.datasets.espeak import ACCENTS, CHARACTERS, EspeakVoice
from rnnx.models.datasets.flite import SPEAKERS, FliteVoice
from rnnx.models.datasets.spoken import SpeechProgramError, corpus, read_wav, resampled, said, trimmed

SCRIPT = """#!{python}
import sys, wave, array, math, os
if "--version" in sys.argv:
    print("version: 1"); sys.exit()
open({calls!r}, "a").write("x")
if "fail" in sys.argv:
    sys.exit("no such word")
hertz = 300
out = wave.open(sys.argv[-1], "wb"); out.setparams((1, 2, 16000, 0, "NONE", ""))
tone = [int(9000 * math.sin(2 * math.pi * hertz * t / 16000)) for t in range(8000)]
out.writeframes(array.array("h", [0] * 500 + tone + [0] * 700).tobytes())
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program called ``flite`` that says a tone of 300 Hz for half a second."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = tmp_path / "calls"
    (folder / "flite").write_text(SCRIPT.format(python=sys.executable, calls=str(calls)))
    (folder / "flite").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return calls


def wav(channels=1, width=2, rate=8000, data=b"\1\0" * 10):
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(data)
    return stream.getvalue()


def test_what_a_program_says_is_cut_and_resampled(program):
    clip = said(FliteVoice(), "seven")
    assert clip.dtype == np.int16
    assert abs(len(clip) - 4000) < 10
    time = np.arange(len(clip))
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip))))
    assert spectrum.argmax() * 8000 / len(clip) == pytest.approx(300, abs=2)
    assert np.abs(clip[100:-100]).max() == pytest.approx(9000, rel=0.01)
    assert len(time) == len(clip)


def test_a_voice_speaks_once(program, tmp_path):
    first = corpus(FliteVoice(), ["one", "two"], tmp_path / "kept")
    again = corpus(FliteVoice(), ["one", "two"], tmp_path / "kept")
    assert program.read_text() == "xx"
    assert first.texts == again.texts == ("one", "two")
    for one, other in zip(first.clips, again.clips, strict=True):
        np.testing.assert_array_equal(one, other)
    corpus(FliteVoice(pitch=1.1), ["one", "two"], tmp_path / "kept")
    assert program.read_text() == "xxxx"


def test_a_program_that_fails_is_quoted(program):
    with pytest.raises(SpeechProgramError, match=r"fail.* ended with 1 and said: no such word"):
        said(FliteVoice(), "fail")


@pytest.mark.parametrize("voice", [FliteVoice(), EspeakVoice()])
def test_a_missing_program_names_its_package(voice, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDataError, match=f"apt-get install {voice.program}"):
        corpus(voice, ["one"], tmp_path)


def test_commands():
    command = EspeakVoice(accent="en-gb", character="f2", pitch=70, words_per_minute=120).command("one", "o.wav")
    assert command == ["espeak-ng", "-v", "en-gb+f2", "-p", "70", "-s", "120", "-w", "o.wav", "one"]
    command = FliteVoice(speaker="rms", stretch=1.2, pitch=0.5).command("one", "o.wav")
    assert command[:3] == ["flite", "-voice", "rms"]
    assert {"duration_stretch=1.2", "int_f0_target_mean=47.5"} < set(command)
    assert len(set(ACCENTS)) == len(ACCENTS)
    assert len(set(CHARACTERS)) == len(CHARACTERS)
    assert "slt" in SPEAKERS


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.0, 1.3, 8000 / 22050])
def test_resampling_keeps_what_both_rates_hold(factor):
    time = np.arange(3000)
    # Silent at its ends, as a clip is.
    curve = np.sin(0.05 * time) * np.exp(-(((time - 1500) / 300) ** 2))
    found = resampled(curve, factor)
    at = np.arange(len(found)) / factor
    expected = np.sin(0.05 * at) * np.exp(-(((at - 1500) / 300) ** 2))
    assert len(found) == round(3000 * factor)
    # Sizes are whole numbers, so a long clip may be off by half a sample.
    np.testing.assert_allclose(found, expected, atol=0.6 * 0.05 / factor)


def test_silence_around_goes():
    sound = np.concatenate([np.full(9, 0.001), [0.5, -1.0, 0.02], np.full(5, -0.009)])
    np.testing.assert_array_equal(trimmed(sound), [0.5, -1.0, 0.02])
    assert not len(trimmed(np.zeros(4)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFF", "no WAV file of PCM samples"),
        (wav(channels=2), "has 2 channels of 2"),
        (wav(width=1), "1 channels of 1"),
    ],
)
def test_other_files_are_refused(content, message):
    with pytest.raises(SpeechProgramError, match=message):
        read_wav(content)


def test_a_missing_recording_names_its_package(tmp_path):
    if os.path.isdir("/usr/share/asterisk/sounds/en_US_f_Allison"):  # noqa: PTH112
        pytest.skip("the recordings are installed here")
    with pytest.raises(MissingDataError, match="asterisk-core-sounds-en-wav"):
        number_words(tmp_path)
