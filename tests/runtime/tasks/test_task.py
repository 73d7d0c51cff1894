"""Whole tasks, from what a person gives to what a person gets."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper

import rnnx
from rnnx.errors import InputError, MissingFileError, SessionError, ShapeError, TaskError, VariantError
from rnnx.runtime.tasks import Task, load_task
from rnnx.runtime.tasks.description import (
    AudioRead,
    AudioWrite,
    Characters,
    CtcWrite,
    Description,
    ForecastWrite,
    ImageRead,
    LabelsWrite,
    Mel,
    ScoresWrite,
    SeriesRead,
    Table,
    TagsWrite,
    TextRead,
    TokensWrite,
    VideoRead,
)
from rnnx.runtime.tasks.reading import read_item
from rnnx.runtime.tasks.wav import wav_bytes
from rnnx.signature import AxisRange

LETTERS = Characters(symbols=("<pad>", "a", "b", "c"))


def passing(names, elements=None):
    """Nodes that give inputs on as outputs."""
    return [helper.make_node("Identity", [one], [f"{one}_out"]) for one in names] + (elements or [])


def softmax(*logits):
    shares = np.exp(np.array(logits, float))
    return shares / shares.sum()


def test_the_public_face(counting):
    assert rnnx.load_task is load_task
    assert rnnx.Task is Task
    with rnnx.load_task(counting) as task:
        assert task("ABBA").label == "a"
    with pytest.raises(SessionError, match="is closed"):
        task("a")


def test_labels(counting):
    task = load_task(counting)
    found = task("abb")
    shares = softmax(1, 2, 0)
    assert [label for label, _ in found.ranked] == ["b", "a", "c"]
    np.testing.assert_allclose([share for _, share in found.ranked], sorted(shares, reverse=True), rtol=1e-6)
    assert (found.tokens, found.attention) == (("a", "b", "b"), (1.0, 1.0, 1.0))
    assert str(found) == f"b   {100 * shares[1]:.1f}%\na   {100 * shares[0]:.1f}%\nlooked at: a 1.00, b 1.00, b 1.00"
    assert found.to_json()["probabilities"]["c"] == pytest.approx(shares[2])
    assert json.loads(json.dumps(found.to_json()))["attention"] == [1, 1, 1]


def test_a_batch_answers_as_single_ones_do(counting):
    task = load_task(counting)
    texts = ["a", "bcb", "cccca", "ab"]
    assert task.batch(texts) == [task(one) for one in texts]


def test_letters_of_words_are_padded(spelling):
    task = load_task(spelling)
    texts = ["ab hh a", "b", "x cabbage bad"]
    expected = [("odd", "even", "even"), ("odd",), ("odd", "even", "even")]
    found = task.batch(texts)
    assert [one.labels for one in found] == expected
    assert found == [task(one) for one in texts]
    assert str(found[0]) == "ab  odd\nhh  even\na   even"
    assert found[0].to_json()["pieces"][1] == {"label": "even", "first": 1, "end": 2}


def test_rows_that_may_not_be_padded_run_alone(make):
    """Without lengths the mean over time would see the padding."""
    description = Description(
        task="mean",
        read=SeriesRead(tables=(Table(input="x", columns=("v",), rows="all"),)),
        write=ForecastWrite(output="mean", name="mean", unit="V"),
    )
    path = make(
        ["x: float32[batch, time, 1]"],
        ["mean: float32[batch, 1]"],
        [helper.make_node("ReduceMean", ["x", "axis"], ["mean"], keepdims=0)],
        {"axis": np.array([1])},
        description=description,
    )
    task = load_task(path)
    found = task.batch([np.array([1.0, 3.0]), b"v\n10\n20\n60\n", np.array([5.0])])
    assert [float(one.values[0, 0]) for one in found] == [2, 30, 5]
    assert str(found[1]) == "mean: 30 V"


def test_answers_that_cannot_be_cut_run_alone(make):
    """How long the answer is does not follow from the input's length, and nothing tells."""
    description = Description(
        task="copy",
        read=TextRead(input="tokens", tokenizer=LETTERS),
        write=TokensWrite(output="ids", symbols=("?", "a", "b", "c")),
    )
    path = make(
        ["tokens: int64[batch, time] < 4", "lengths: int64[batch]"],
        ["ids: int64[batch, steps]", "seen: int64[batch]"],
        [helper.make_node("Identity", ["tokens"], ["ids"]), helper.make_node("Identity", ["lengths"], ["seen"])],
        lengths=("lengths",),
        description=description,
    )
    assert [one.text for one in load_task(path).batch(["ab", "cabca"])] == ["ab", "cabca"]


@pytest.fixture
def beams(make):
    """Hypotheses: the text itself, ended by 0, and the text in capitals; ranked by the option ``weight``."""
    nodes = [
        helper.make_node("Add", ["tokens", "three"], ["capital"]),
        helper.make_node("Unsqueeze", ["tokens", "one"], ["first"]),
        helper.make_node("Unsqueeze", ["capital", "one"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["ids"], axis=1),
        helper.make_node("Cast", ["lengths"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["sizes", "weight"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "one"], ["best"]),
        helper.make_node("Neg", ["best"], ["other"]),
        helper.make_node("Concat", ["best", "other"], ["scores"], axis=1),
        helper.make_node("Unsqueeze", ["lengths", "one"], ["sized"]),
        helper.make_node("Add", ["sized", "zeros"], ["counts"]),
    ]
    symbols = ("<end>", "a", "b", "c", "A", "B", "C")
    write = TokensWrite(output="ids", symbols=symbols, join=" ", skip=(3,), lengths="counts", scores="scores")
    return make(
        ["tokens: int64[batch, time] < 4", "lengths: int64[batch]", "weight: float32[]"],
        ["ids: int64[batch, 2, time]", "counts: int64[batch, 2]", "scores: float32[batch, 2]"],
        nodes,
        {"three": np.array(3), "one": np.array([1]), "zeros": np.zeros((1, 2), np.int64)},
        lengths=("lengths",),
        description=Description(
            task="copy",
            read=TextRead(input="tokens", tokenizer=LETTERS, split=True),
            write=write,
            options={"weight": 0.5},
        ),
    )


def test_tokens_of_several_hypotheses_and_words(beams):
    task = load_task(beams)
    found = task("acb  b")
    assert found.words == ("acb", "b")
    assert str(found) == "acb  a b\nb    b"
    first = found.results[0]
    assert (first.text, first.ids, first.score) == ("a b", (1, 2), 1.5)
    assert first.alternatives == (("A C B", -1.5),)
    assert task("b", weight=4).to_json() == {
        "words": [{"word": "b", "text": "b", "score": 4.0, "alternatives": [{"text": "B", "score": -4.0}]}]
    }
    for wrong in ("", "  ", 7):
        with pytest.raises(InputError, match="the text is empty"):
            task(wrong)


def test_options_are_checked(beams, counting):
    with pytest.raises(InputError, match="the task has no option 'beam'; its options are: 'weight'"):
        load_task(beams)("a", beam=3)
    with pytest.raises(InputError, match="its options are: none"):
        load_task(counting)("a", length=3)


def test_ids_that_have_no_symbol(make):
    path = make(
        ["tokens: int64[batch, time] < 4"],
        ["ids: int64[batch, time]"],
        [helper.make_node("Identity", ["tokens"], ["ids"])],
        description=Description(
            task="copy",
            read=TextRead(input="tokens", tokenizer=LETTERS),
            write=TokensWrite(output="ids", symbols=("<end>", "x"), end=0, mark="x"),
        ),
    )
    task = load_task(path)
    assert task("aa").text == ""  # the mark is a space, and spaces around are cut
    with pytest.raises(SessionError, match="the model gave the id 3, and its task names 2 symbols"):
        task("ac")


@pytest.mark.parametrize("beam_width", [1, 4])
@pytest.mark.parametrize("form", ["logits", "log_probs", "probabilities"])
def test_ctc(make, form, beam_width):
    """Each letter's frame is repeated, as a model's frames are."""
    table = np.full((4, 4), 0.02, np.float32) + 0.92 * np.eye(4, dtype=np.float32)
    values = {"probabilities": table, "log_probs": np.log(table), "logits": np.log(table) + 7}[form]
    path = make(
        ["tokens: int64[batch, time] < 4", "lengths: int64[batch]"],
        ["y: float32[batch, time, 4]", "seen: int64[batch]"],
        [helper.make_node("Gather", ["table", "tokens"], ["y"]), helper.make_node("Identity", ["lengths"], ["seen"])],
        {"table": values.astype(np.float32)},
        lengths=("lengths",),
        description=Description(
            task="ctc",
            read=TextRead(input="tokens", tokenizer=Characters(symbols=("-", "a", "b", "c"))),
            write=CtcWrite(output="y", symbols=("", "A", "B", "C"), form=form, beam_width=beam_width),
        ),
    )
    found = load_task(path).batch(["aa-abb", "c", "--b-"])
    assert [one.text for one in found] == ["AAB", "C", "B"]
    if beam_width == 1:
        assert found[1].score == pytest.approx(np.log(0.94), abs=1e-5)
    else:
        assert found[1].alternatives[0][0] in {"", "A", "B"}


def test_series_to_quantiles(make):
    description = Description(
        task="forecast",
        read=SeriesRead(
            tables=(Table(input="past", columns=("load",)), Table(input="future", columns=("warm",), rows="future")),
            horizon=2,
            time="hour",
        ),
        write=ForecastWrite(output="y", quantiles=(0.1, 0.5), name="load", unit="MW"),
    )
    nodes = [
        helper.make_node("ReduceMax", ["past", "axis"], ["highest"], keepdims=1),
        helper.make_node("Add", ["highest", "future"], ["upper"]),
        helper.make_node("Concat", ["future", "upper"], ["y"], axis=2),
    ]
    path = make(
        ["past: float32[batch, time, 1]", "future: float32[batch, steps, 1]"],
        ["y: float32[batch, steps, 2]"],
        nodes,
        {"axis": np.array([1])},
        description=description,
    )
    found = load_task(path)(b"hour,load,warm\n1,5,0\n2,7,0\n3,,1\n4,,2.5\n")
    np.testing.assert_array_equal(found.values, [[1, 8], [2.5, 9.5]])
    assert str(found).splitlines() == ["load in MW", "step  10%  50%", "   3    1    8", "   4  2.5  9.5"]
    assert found.to_json() == {
        "name": "load", "unit": "MW", "times": [3, 4], "quantiles": [0.1, 0.5], "values": [[1, 8], [2.5, 9.5]]
    }  # fmt: skip


def series_copy(make, write, spec="x: float32[batch, time, 1]", columns=("v",), **options):
    return make(
        [spec],
        [spec.replace("x:", "x_out:")],
        passing(["x"]),
        description=Description(
            task="copy",
            read=SeriesRead(tables=(Table(input="x", columns=columns, rows=options.get("rows", "all")),)),
            write=write,
        ),
    )


@pytest.mark.parametrize("spec", ["x: float32[batch, time, 1]", "x: float32[batch, time]"])
def test_scores(make, spec):
    task = load_task(series_copy(make, ScoresWrite(output="x_out", threshold=2, name="fault"), spec))
    found = task(np.array([0, 3, 5, 1, 2, 2.5]))
    assert found.spans == ((1, 3, 5.0), (5, 6, 2.5))
    assert str(found) == (
        "fault at 2-3, highest score 5\nfault at 6, highest score 2.5\n3 of 6 steps are above 2"
    )  # fmt: skip
    assert found.to_json()["found"][0] == {"first": 1, "end": 3, "highest": 5.0}
    assert str(task(np.array([7.0]))) == "fault at 1: 7, above 2"
    assert str(task(np.array([0.0, 1.0]))) == "no fault: none of 2 steps is above 2, the highest score is 1"


def test_one_score_as_a_probability(make):
    write = ScoresWrite(output="x_out", threshold=0.5, name="risk", form="logit")
    task = load_task(series_copy(make, write, "x: float32[batch, 1]", rows="first"))
    assert str(task(np.array([2.0]))) == "risk: 0.8808, above 0.5"
    assert str(task(np.array([-800.0]))) == "risk: 0, not above 0.5"


def test_tags_of_rows(make):
    write = TagsWrite(output="x_out", labels=("walk", "sit"))
    task = load_task(series_copy(make, write, "x: float32[batch, time, 2]", columns=("p", "q")))
    found = task(np.array([[3, 0], [2, 0], [0, 1], [1, 0]]))
    assert found.labels == ("walk", "walk", "sit", "walk")
    assert found.probabilities[2] == pytest.approx(softmax(0, 1)[1], rel=1e-6)
    assert str(found) == "1-2  walk\n3    sit\n4    walk"


@pytest.mark.parametrize(("over_time", "label"), [("last", "sit"), ("mean", "walk")])
def test_one_label_over_time(make, over_time, label):
    write = LabelsWrite(output="x_out", labels=("walk", "sit"), over_time=over_time)
    task = load_task(series_copy(make, write, "x: float32[batch, time, 2]", columns=("p", "q")))
    assert task(np.array([[5, 0], [5, 0], [0, 1]])).label == label


def test_the_last_forecast_of_many(make):
    write = ForecastWrite(output="x_out", over_time="last")
    task = load_task(series_copy(make, write, "x: float32[batch, time, 2]", columns=("p", "q")))
    found = task(np.array([[1, 2], [3, 4], [5, 6]]))
    np.testing.assert_array_equal(found.values, [[5], [6]])
    assert str(found) == "step  value\n   1      5\n   2      6"


def test_nan_answers_are_refused(make):
    path = make(
        ["x: float32[batch, time]"],
        ["y: float32[batch, time]"],
        [helper.make_node("Sqrt", ["x"], ["y"])],
        description=Description(
            task="root",
            read=SeriesRead(tables=(Table(input="x", columns=("v",), rows="all"),)),
            write=ScoresWrite(output="y", threshold=2),
        ),
    )
    with pytest.raises(SessionError, match="the model gave NaN for the series"):
        load_task(path)(np.array([-1.0]))


@pytest.fixture
def echo(make):
    """Gives sound back, half as loud."""
    return make(
        ["audio: float32[batch, time]", "lengths: int64[batch]"],
        ["samples: float32[batch, time]", "counts: int64[batch]"],
        [
            helper.make_node("Mul", ["audio", "half"], ["samples"]),
            helper.make_node("Identity", ["lengths"], ["counts"]),
        ],
        {"half": np.array(0.5, np.float32)},
        lengths=("lengths",),
        description=Description(
            task="echo",
            read=AudioRead(input="audio", sample_rate=8000, least_samples=400),
            write=AudioWrite(output="samples", sample_rate=8000, lengths="counts"),
        ),
    )


def test_stereo_of_another_rate_is_mixed_and_resampled(echo, tmp_path):
    time = np.arange(22050) / 44100
    left, right = np.sin(2 * np.pi * 300 * time), np.cos(2 * np.pi * 500 * time)
    task = load_task(echo)
    (tmp_path / "in.wav").write_bytes(wav_bytes(0.5 * np.stack([left, right], axis=1), 44100))
    found = task(tmp_path / "in.wav")
    moments = np.arange(4000) / 8000
    expected = 0.125 * (np.sin(2 * np.pi * 300 * moments) + np.cos(2 * np.pi * 500 * moments))
    np.testing.assert_allclose(found.samples[100:-100], expected[100:-100], rtol=0, atol=1e-4)
    assert str(found) == "0.50 s of sound at 8000 Hz"
    found.write(tmp_path / "out.wav")
    assert (tmp_path / "out.wav").stat().st_size == 44 + 2 * 4000
    again = task(((0.5 * left).astype(np.float32), 44100))
    assert again.to_json() == {"seconds": 0.5, "sample_rate": 8000, "samples": 4000}


def test_silence_is_put_behind_a_sound(echo):
    task = load_task(echo)
    read = replace(task.description.read, silence_samples=100)
    sound = np.random.default_rng(0).uniform(-1, 1, 400).astype(np.float32)
    item = read_item(read, (sound, 8000), task.session.signature)
    np.testing.assert_array_equal(item.inputs["audio"], np.concatenate([sound, np.zeros(100, np.float32)]))
    with pytest.raises(InputError, match="is too short"):  # of the sound itself, whatever stands behind it
        read_item(read, (sound[:399], 8000), task.session.signature)


def test_sounds_of_several_lengths(echo):
    task = load_task(echo)
    sounds = [np.random.default_rng(one).uniform(-1, 1, 400 + 100 * one) for one in range(3)]
    for found, sound in zip(task.batch([(one, 8000) for one in sounds]), sounds, strict=True):
        np.testing.assert_array_equal(found.samples, sound.astype(np.float32) * np.float32(0.5))


def test_what_is_too_loud_is_made_softer_as_a_whole(echo):
    found = load_task(echo)((np.linspace(0, 4, 500), 8000))
    np.testing.assert_allclose(found.samples, np.linspace(0, 1, 500), atol=1e-6)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (
            (np.zeros(3), 8000),
            InputError,
            r"too short: 0\.000375 s, 3 samples at 8000 Hz. The model takes at least 0\.05 s",
        ),
        (wav_bytes(np.zeros(3), 44100), InputError, "the sound is too short"),
        (b"nothing", InputError, "the sound is no WAV file"),
        ("missing.wav", InputError, "'missing.wav' does not exist"),
        (".", InputError, "'.' is a folder"),
        (np.zeros(800), InputError, r"does not tell its sample rate. Pass \(samples, rate\)"),
        ((np.zeros(800), 8000.5), InputError, "the sample rate is 8000.5"),
        ((np.zeros(800, np.int16), 8000), ShapeError, r"the samples are int16\[800\]; they must be float"),
        ((np.full(800, np.nan), 8000), InputError, "NaN or infinity"),
        (7, InputError, r"the sound is a int; it must be a path, bytes or \(samples, rate\)"),
    ],
)
def test_sounds_that_are_refused(echo, source, error, message):
    with pytest.raises(error, match=message):
        load_task(echo)(source)


def test_channels_and_length_as_described(make):
    def task(**options):
        path = make(
            ["audio: float32[batch, time, 1]"],
            ["y: float32[batch, time, 1]"],
            [helper.make_node("Identity", ["audio"], ["y"])],
            description=Description(
                task="copy",
                read=AudioRead(input="audio", sample_rate=8000, **options),
                write=ScoresWrite(output="y", threshold=0),
            ),
            name=f"{options}.rnnx".replace(" ", ""),
        )
        return load_task(path)

    stereo = (np.stack([np.ones(9), np.zeros(9)], axis=1), 8000)
    assert task()(stereo).scores.tolist() == [0.5] * 9
    assert task(channels="first")(stereo).scores.tolist() == [1] * 9
    with pytest.raises(InputError, match="has 2 channels; the model takes one"):
        task(channels="refuse")(stereo)
    with pytest.raises(InputError, match=r"is 1\.0 s long; allowed are 0\.5 s"):
        task(most_seconds=0.5)((np.zeros(8000), 8000))


def test_mel_frames_become_sound(make):
    mel = Mel(fft_size=256, hop=80, mels=20, iterations=2)
    path = make(
        ["x: float32[batch, time, 20]"],
        ["y: float32[batch, time, 20]"],
        [helper.make_node("Identity", ["x"], ["y"])],
        description=Description(
            task="vocoder",
            read=SeriesRead(tables=(Table(input="x", columns=tuple("abcdefghijklmnopqrst"), rows="all"),)),
            write=AudioWrite(output="y", sample_rate=8000, mel=mel),
        ),
    )
    found = load_task(path)(np.full((10, 20), -2.0))
    assert found.samples.shape == (800,)
    assert np.abs(found.samples).max() > 0


def test_what_is_too_short_or_too_long_is_told_of_what_was_given(make):
    path = make(
        ["x: float32[batch, time]"],
        ["y: float32[batch, time]"],
        [helper.make_node("Identity", ["x"], ["y"])],
        ranges=(AxisRange(name="time", minimum=2, maximum=3),),
        description=Description(
            task="watching",
            read=SeriesRead(tables=(Table(input="x", columns=("v",), rows="all"),)),
            write=ScoresWrite(output="y", threshold=2),
        ),
    )
    task = load_task(path)
    assert len(task(b"v\n1\n2\n").scores) == 2
    told = r"the series gives the input 'x: float32\[batch, time\]' {} for 'time'; the model takes 2 <= time <= 3\. {}"
    for count, remedy in ((1, "Give more of it"), (4, "Cut it")):
        with pytest.raises(InputError, match=told.format(count, remedy)):
            task(np.zeros(count))


def test_pictures_and_videos(make, tmp_path):
    images = pytest.importorskip("PIL.Image")
    grey = np.random.default_rng(0).integers(0, 256, (4, 6)).astype(np.uint8)
    picture = make(
        ["image: float32[batch, 24, 1]"],
        ["y: float32[batch, 24, 1]"],
        [helper.make_node("Identity", ["image"], ["y"])],
        description=Description(
            task="copy",
            read=ImageRead(input="image", height=4, width=6, channels=1, layout="NPC"),
            write=ScoresWrite(output="y", threshold=1),
        ),
    )
    images.fromarray(grey).save(tmp_path / "x.png")
    for source in (grey, tmp_path / "x.png", (tmp_path / "x.png").read_bytes()):
        np.testing.assert_allclose(load_task(picture)(source).scores, grey.reshape(-1) / 255, rtol=1e-6)
    with pytest.raises(InputError, match="the picture is a dict; it must be a path, bytes or an array"):
        load_task(picture)({})
    video = make(
        ["frames: uint8[batch, time, 4, 6]"],
        ["y: float32[batch, time]"],
        [
            helper.make_node("Cast", ["frames"], ["plain"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["plain", "axes"], ["y"], keepdims=0),
        ],
        {"axes": np.array([2, 3])},
        description=Description(
            task="brightness",
            read=VideoRead(input="frames", height=4, width=6, channels=1, layout="NTHW"),
            write=ScoresWrite(output="y", threshold=1),
        ),
        name="video.rnnx",
    )
    folder = tmp_path / "frames"
    folder.mkdir()
    task = load_task(video)
    with pytest.raises(InputError, match="frames' holds no files"):
        task(folder)
    for number in range(3):
        images.fromarray(np.full((4, 6), number, np.uint8)).save(folder / f"{number}.png")
    made = io.BytesIO()
    first, *others = [images.fromarray(np.full((4, 6), number, np.uint8)) for number in range(3)]
    first.save(made, "PNG", save_all=True, append_images=others)
    for source in (
        folder,
        sorted(folder.iterdir()),
        made.getvalue(),
        np.arange(3, dtype=np.uint8).repeat(24).reshape(3, 4, 6),
    ):
        assert task(source).scores.tolist() == [0, 24, 48]
    assert [one.scores.tolist() for one in task.batch([folder, [folder / "2.png"]])] == [[0, 24, 48], [48]]
    with pytest.raises(InputError, match="a video of no files"):
        task([])
    images.fromarray(np.full((4, 6), 9, np.uint8)).save(folder / "10.png")
    assert task(folder).scores.tolist() == [0, 24, 48, 216]
    (folder / "notes.txt").write_text("no picture")
    for source in (folder, [folder / "0.png", folder / "notes.txt"]):
        with pytest.raises(InputError, match=r"^'.*frames.notes\.txt' is no picture that Pillow knows\. Give a PNG"):
            task(source)


def test_generating(alphabet):
    task = load_task(alphabet)
    assert task("a", temperature=0).text == "bcd"  # the end comes after d
    assert "".join(task.generate("", temperature=0)) == "bcd"  # a is where an empty text starts
    assert task("ab", temperature=0, length=1).text == "c"
    assert task.batch(["a", "b"], temperature=0)[1].text == "cd"


def test_what_is_drawn_is_the_seeds(alphabet):
    task = load_task(alphabet)
    texts = [task("a", seed=seed, temperature=3, length=30).text for seed in range(8)]
    assert texts == [task("a", seed=seed, temperature=3, length=30).text for seed in range(8)]
    assert len(set(texts)) > 5
    assert not any("\ufffd" in one or "<end>" in one for one in texts)
    assert all(task("a", seed=seed, temperature=9, top_k=1).text == "bcd" for seed in range(3))
    with pytest.raises(InputError, match="the task has no option 'beam'; its options are: 'length', 'temp"):
        task("a", beam=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length is 0; it must be a whole number from 1"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
    ],
)
def test_ways_of_drawing_that_are_refused(alphabet, options, message):
    with pytest.raises(InputError, match=message):
        load_task(alphabet)("a", **options)


def test_generating_needs_the_streaming_variant(alphabet, counting):
    with pytest.raises(VariantError, match="has no variant 'auto-offline'"):
        load_task(alphabet, mode="offline")
    with pytest.raises(TaskError, match="'counting' does not generate"):
        next(load_task(counting).generate("a"))


def test_a_bundle_without_a_task(make):
    path = make(["x: float32[batch, 2]"], ["x_out: float32[batch, 2]"], passing(["x"]))
    with pytest.raises(TaskError, match=r"has no task: .* with --input, or export it with .*: --asset task.json=FILE"):
        load_task(path)


def test_a_changed_task_is_refused(counting):
    file = counting / "assets" / "task.json"
    file.write_bytes(file.read_bytes().replace(b"counting", b"Counting"))
    with pytest.raises(rnnx.errors.AlteredFileError, match=r"task\.json' has SHA-256"):
        load_task(counting)
    file.unlink()
    with pytest.raises(MissingFileError, match=r"lacks the file 'assets/task\.json'"):
        load_task(counting)
