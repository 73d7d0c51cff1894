"""Every system of the zoo, given what it was not made for: it says what is wrong, or answers as it would the like."""

from __future__ import annotations

import io
import json
import math
import re
import struct

import numpy as np
import pytest
from click.testing import CliRunner

from rnnx.bundle import Bundle
from rnnx.cli.main import main
from rnnx.errors import InputError
from rnnx.models.zoo.registry import ZOO
from rnnx.runtime.tasks import load_task
from rnnx.runtime.tasks.resample import resample
from rnnx.runtime.tasks.series import column_names
from rnnx.runtime.tasks.wav import wav_bytes
from rnnx.runtime.tasks.write_kinds import GenerateWrite

pytestmark = pytest.mark.slow

#: What says that a message tells what to do.
REMEDY = re.compile(r"\b(Add|Begin|Change|Copy|Correct|Cut|Divide|Fill|Give|Name|Pass|Record|Save|Write)\b")


@pytest.fixture(params=ZOO)
def bundle(request, zoo_bundle):
    return zoo_bundle(request.param)


def numbers(told):
    """Every number in what a result tells programs."""
    if isinstance(told, dict):
        told = list(told.values())
    if isinstance(told, list):
        return [one for part in told for one in numbers(part)]
    return [told] if isinstance(told, int | float) else []


def answered(task, source):
    result = task(source)
    assert all(map(math.isfinite, numbers(result.to_json())))
    return result


# What is refused, and what is answered, by what a system reads. Each gives the refused sources with a part of their
# message, and compares or answers the others by itself.


def texts(task, _bundle):
    read, write = task.description.read, task.description.write
    tokenizer = read.tokenizer
    goes_on = isinstance(write, GenerateWrite)
    if goes_on:
        assert answered(task, "").text, "an empty text has a beginning of its own"
    else:
        yield "", r"the text is empty\. Give"
        yield " \t\n ", r"the text is empty\. Give"
    lost = r"knows nothing of the text|characters that the model does not know: .*It knows \d+ characters"
    yield "\U0001f600", lost
    yield "\u041f\u0440\u0438\u0432\u0435\u0442", lost
    yield "\0", lost
    yield "ab\udcff", r"character 3 of the text, '\\udcff', is half of one\. Give the text in UTF-8"
    letters = [one for one in tokenizer.symbols if len(one) == 1 and one.isalpha()] or ["a", "b"]
    long = " ".join(["".join(letters[:5])] * 3000)[:10_000]
    if tokenizer.kind == "characters" and " " not in tokenizer.symbols and not read.split:
        long = long.replace(" ", letters[0])
    signature = task.session.signature
    most = signature.range(signature.input(read.input).axes[1]).maximum if read.input else None
    if most is not None:
        yield long, rf"the text gives the input '.*' \d+ for '\w+'; the model takes .* <= {most}\. Cut it"
    elif read.most is None:
        assert answered(task, long)
    elif not read.split:
        yield long, rf"the text has \d+ .*; the model takes at most {read.most}\. Cut it"
    if read.split and read.most is not None:
        assert len(task(long[:100]).results) > 1
        yield "a" * 10_000, rf"the word 'aaa.*' has 10000 characters; the model takes at most {read.most}\. Cut it"
    if tokenizer.unknown is not None or getattr(tokenizer, "letters", None) is not None:
        assert task.unknown(f"{letters[0]} \u4e2d") == ("\u4e2d",)
        answered(task, f"{letters[0]} \u4e2d")


def float_wav(samples, rate):
    data = np.asarray(samples, "<f4").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
    return b"RIFF" + struct.pack("<I", len(data) + 36) + b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data


def sounds(task, _bundle):
    from rnnx.models.speech.held_out import load_held_out

    sound, rate = load_held_out().sounds[7], 8000
    native = answered(task, wav_bytes(sound, rate)).text
    assert native == "seven"
    high = resample(sound, rate, 44_100)
    assert answered(task, wav_bytes(np.stack([high, high], axis=1), 44_100)).text == native
    assert answered(task, (np.zeros(rate, np.float32), rate)).text == "", "nothing is said in silence"
    yield wav_bytes(sound[:3], rate), r"is too short: .*, 3 samples at 8000 Hz\. The model takes at least .* Give"
    yield wav_bytes(sound[:0], rate), r"holds no samples\. Record it again"
    yield float_wav(np.full(rate, np.nan), rate), "holds NaN or infinity, which is no sound"
    yield (np.full(rate, np.nan), rate), "holds NaN or infinity, which is no sound"
    yield float_wav(sound * 32768, rate), r"goes up to \d+.*; sound is from -1 to 1\. Divide"
    yield (sound, 10**9), r"has the sample rate 1000000000 Hz; allowed are 100 to 768000 Hz"
    yield wav_bytes(sound, rate)[:1000], r"is cut off: \d+ of \d+ bytes of sound are there\. Copy it again"
    yield b"", r"is no WAV file \(it is empty\)\. Give"
    yield b"no sound", r"is no WAV file\. Give"


def encoded(picture, form="PNG", **options):
    made = io.BytesIO()
    picture.save(made, form, **options)
    return made.getvalue()


def pictures(task, bundle):
    image = pytest.importorskip("PIL.Image")
    read = task.description.read
    size = (4 * read.height, read.height)
    picture = image.fromarray(np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8))
    for name in task.description.samples:
        picture = image.open(io.BytesIO(Bundle.open(bundle).asset(name)))
    grey, few = picture.convert("L"), picture.convert("RGB").quantize(64)
    for one, other in (
        (picture.convert("RGB"), picture.convert("RGBA")),
        (few.convert("RGB"), few),
        (grey, image.fromarray(np.asarray(grey).astype(np.uint16) * 257)),
    ):
        told = [answered(task, encoded(form)).to_json() for form in (one, other)]
        assert told[0] == told[1], (one.mode, other.mode)
    whole = encoded(picture)
    yield whole[: len(whole) // 2], r"is a broken picture: .*\. Copy it again"
    yield b"", r"is empty\. Give a PNG"
    yield b"no picture", r"is no picture that Pillow knows\. Give a PNG"
    yield encoded(image.new("RGB", (1, 1))), r"has 1 x 1 pixels; the model takes at least .*\. Give a larger"
    yield encoded(grey.convert("F"), "TIFF"), r"has pixels of 32 bits, .*\. Save it"
    yield np.zeros((read.height, 2 * read.height)), r"is float64\[.*; an array must be uint8"


def videos(task, bundle):
    image = pytest.importorskip("PIL.Image")
    (name,) = task.description.samples
    whole = Bundle.open(bundle).asset(name)
    clip = image.open(io.BytesIO(whole))
    frames = []
    for number in range(clip.n_frames):
        clip.seek(number)
        frames.append(clip.convert("RGB"))
    native = answered(task, whole).text
    assert answered(task, encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).text == native
    assert answered(task, [encoded(one) for one in frames]).text == native
    least = task.description.read.least_frames
    yield encoded(frames[0]), rf"has 1 frame; the model takes at least {least}\. Give more"
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield gif[: len(gif) // 2], r"is a broken picture: .*\. Copy it again"
    yield b"", r"is empty\. Give a GIF"
    yield b"no video", r"is no picture that Pillow knows\. Give a GIF"
    yield [], r"a video of no files was given\. Give"
    yield [encoded(image.new("RGB", (1, 1)))] * 5, r"has 1 x 1 pixels; the model takes at least .*\. Give a larger"


class Sheet:
    """Tables that a system reads, right or wrong in one way."""

    def __init__(self, read):
        self.read, self.columns = read, column_names(read)
        self.free = next(
            one for part in read.tables for one in part.columns if one not in {read.time, *read.categories}
        )
        self.rows = max(read.least_rows, 60) + read.horizon

    def csv(self, *, sep=",", names=None, count=None, head=True, cells=None):
        names = names or self.columns
        lines = [
            [(cells or {}).get((one, row)) or self.cell(one, row) for one in names]
            for row in range(self.rows if count is None else count)
        ]
        return "\n".join(map(sep.join, [list(names)] * head + lines)).encode()

    def cell(self, column, row):
        if column == self.read.time:
            return str(30 * row)
        return next(iter(self.read.categories.get(column, [f"{math.sin(row / 7):.3f}"])))

    def put(self, value):
        """The cell of the first column that takes numbers, in row 4."""
        return self.csv(cells={(self.free, 3): value})


def series(task, _bundle):
    read = task.description.read
    sheet = Sheet(read)
    native = answered(task, sheet.csv()).to_json()
    for same in (sheet.csv(sep=";"), sheet.csv(sep="\t"), sheet.csv(head=False), b"\xef\xbb\xbf" + sheet.csv()):
        assert answered(task, same).to_json() == native
    for gap in (" ", "NA", "NaN"):
        if read.missing == "mask":
            answered(task, sheet.put(gap))
        else:
            yield (
                sheet.put(gap),
                rf"has no value in row 4 of '{sheet.free}'; this model takes no gaps\. Fill them first",
            )
    for wrong in ("abc", "inf"):
        yield (
            sheet.put(wrong),
            rf"'{sheet.free}', row 4 of the series is '{wrong}'; it must be a finite num.*Correct it",
        )
    yield sheet.put("1e39"), r"the series holds 1e\+39; the input '.*' takes numbers up to 3.4e\+38\. Correct it"
    yield b"other\n1\n", r"has the columns 'other'; wanted are .*\. Name them|must be a finite number"
    yield sheet.csv(count=0), r"has a header and no rows\. Give"
    yield b"", r"is empty\. Give a table of the columns"
    yield bytes(range(128, 256)), r"is no text in UTF-8: .*\. Give a CSV file"
    count = len(sheet.columns)
    yield np.full((sheet.rows, count), np.inf), r"holds infinity\. Leave values out"
    yield np.zeros((sheet.rows, count + 3)), rf"is float64\[.*; it must be numbers of \(rows, {count}\)"
    if count > 1:
        yield from columns_of(sheet)
    if read.least_rows + read.horizon > 1:
        yield sheet.csv(count=1), r"has \d rows.*; the model takes at least \d+\. Give more rows"
    else:
        answered(task, sheet.csv(count=1))
    if read.missing == "mask":
        cells = {(one, row): " " for one in sheet.columns if one != read.time for row in range(sheet.rows)}
        yield sheet.csv(cells=cells), r"has no value at all in .*, so there is nothing to answer from\. Fill some in"


def columns_of(sheet):
    yield sheet.csv(names=sheet.columns[:-1]), rf"lacks the column '{sheet.columns[-1]}'; it has .*\. Add it"
    yield sheet.csv(sep="|"), r"has the columns '.*'; wanted are .*\. Name them in the first row, with ','"
    yield sheet.put("1,5"), r"row 4 of the series has \d+ cells, the header has \d+\. Give each row as many"
    time = sheet.read.time
    if time is not None:
        yield sheet.csv(cells={(time, 3): "-1"}), rf"'{time}' of the series goes back from .* Sort the rows"


KINDS = {"text": texts, "audio": sounds, "image": pictures, "video": videos, "series": series}


def test_bad_input_is_refused_and_odd_input_answered(bundle):
    with load_task(bundle, provider="cpu", threads=1) as task:
        for source, message in KINDS[task.description.read.kind](task, bundle):
            with pytest.raises(InputError, match=f"(?s){message}") as refused:
                task(source)
            told = str(refused.value)
            assert told.endswith("."), told
            assert len(told) < 700


OPTIONS = {"text": "text", "audio": "audio", "image": "image", "video": "video", "series": "csv"}


def test_the_command_says_it_in_a_line_and_writes_nothing(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given").write_bytes(b"\x00\xff\x00")
    option = OPTIONS[json.loads(Bundle.open(bundle).asset("task.json"))["read"]["kind"]]
    bad = "\u0416" if option == "text" else "given"
    for arguments, code in (
        ([f"--{option}", bad, "-o", "out.wav"] if option == "text" else [f"--{option}", bad], 1),
        (["--audio" if option != "audio" else "--csv", "given"], 1),
        ([f"--{option}", bad, "--stream", f"--{option}", bad], 2),
    ):
        done = CliRunner().invoke(main, ["run", str(bundle), *arguments])
        if "-o" in arguments and done.exit_code == 2:  # it makes no sound, which is usage
            assert "Leave it out" in done.stderr
            done = CliRunner().invoke(main, ["run", str(bundle), *arguments[:2]])
        assert done.exit_code == code, done.output
        assert isinstance(done.exception, SystemExit)
        assert done.stdout == ""
        assert "Error: " in done.stderr
        assert "Traceback" not in done.stderr
        if code == 1:
            assert len(done.stderr.splitlines()) == 1
            assert REMEDY.search(done.stderr) or "Run: rnnx run" in done.stderr, done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["given"]
