"""Assets travel with a bundle wherever it goes, and ``task.json`` must fit the model."""

import shutil

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import rnnx
from rnnx.bundle import Bundle, hash_file
from rnnx.cli.main import main
from rnnx.errors import AlteredFileError, BundleError, MissingFileError, TaskError
from rnnx.exporters import export, quantize
from rnnx.exporters.forms import add_forms
from rnnx.runtime.tasks.description import Characters, Description, LabelsWrite, TextRead

TASK = Description(
    task="t",
    read=TextRead(input="tokens", tokenizer=Characters(symbols=("<pad>", "a", "b"))),
    write=LabelsWrite(output="logits", labels=("x", "y")),
)
ASSETS = {"task.json": TASK.to_bytes(), "words-1.txt": b"a\nb\n", "manifest.json": b"{}"}


class Classifier(nn.Module):
    """Its last step decides."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(3, 4)
        self.gru = nn.GRU(4, 32, batch_first=True)
        self.head = nn.Linear(32, 2)

    def forward(self, tokens):
        return self.head(self.gru(self.embedding(tokens))[1][-1])


def exported(out, assets):
    made = export(Classifier(), inputs=["tokens: int64[batch, time] < 3"], outputs=["logits"], out=out, assets=assets)
    return made.bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("assets") / "a.rnnx", ASSETS)


def held(path):
    """The assets of a bundle, every file of it checked."""
    opened = Bundle.open(path)
    opened.check()
    return {name: opened.asset(name) for name in opened.assets}


def test_assets_are_hashed_like_all_files(bundle, tmp_path):
    assert held(bundle.path) == ASSETS
    assert set(bundle.assets) == set(ASSETS)
    assert (bundle.path / "assets" / "words-1.txt").read_bytes() == b"a\nb\n"
    assert bundle.manifest.files["assets/words-1.txt"] == hash_file(bundle.path / "assets" / "words-1.txt")
    copy = tmp_path / "b.rnnx"
    shutil.copytree(bundle.path, copy)
    (copy / "assets" / "words-1.txt").write_bytes(b"a\nc\n")
    with pytest.raises(AlteredFileError, match="words-1"):
        Bundle.open(copy).asset("words-1.txt")
    with pytest.raises(MissingFileError, match=r"has no asset 'words'; its assets are: 'manifest\.json', 'task\.json'"):
        bundle.asset("words")
    assert Bundle.open(exported(tmp_path / "none.rnnx", None).path).assets == ()


def test_assets_are_part_of_what_a_bundle_is(bundle, tmp_path):
    other = exported(tmp_path / "a.rnnx", ASSETS | {"words-1.txt": b"a\nc\n"})
    assert other.sha256 != bundle.sha256


def test_every_way_that_writes_a_bundle_keeps_them(bundle, tmp_path):
    path = tmp_path / "a.rnnx"
    shutil.copytree(bundle.path, path)
    quantize(path, precision="int8", out=tmp_path / "other.rnnx")
    assert held(tmp_path / "other.rnnx") == ASSETS
    quantize(path, precision="int8")
    quantize(path, precision="int8", overwrite=True)
    assert held(path) == ASSETS
    add_forms(path, mode="streaming", forms=["step"])
    assert held(path) == ASSETS
    keys = {one.key for one in Bundle.open(path).manifest.variants}
    assert "int8-offline" in keys
    assert any(one.endswith("-step") for one in keys)
    with rnnx.load_task(path, precision="int8") as task:
        assert task("ab").label in {"x", "y"}


@pytest.mark.parametrize(
    ("assets", "message"),
    [
        ({"../x": b""}, r"an asset is named '\.\./x'; a name has up to 100 letters"),
        ({"/x": b""}, "an asset is named '/x'"),
        ({"a/b": b""}, "an asset is named 'a/b'"),
        ({"a\\b": b""}, "an asset is named"),
        ({".x": b""}, "an asset is named '.x'"),
        ({"x\n": b""}, "an asset is named"),
        ({"c:x": b""}, "an asset is named"),
        ({"": b""}, "an asset is named ''"),
        ({"x" * 101: b""}, "an asset is named"),
        ({"a": b"", "A": b""}, "the assets 'a' and 'A' are one file where case does not count"),
        ({"a": "text"}, "asset 'a' is a str; it must be bytes"),
    ],
)
def test_assets_that_are_none(assets, message, tmp_path):
    with pytest.raises(BundleError, match=message):
        exported(tmp_path / "a.rnnx", assets)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"version": 1', b'"version": 2', "has version 2"),
        (b'"tokens"', b'"words"', "the task reads into 'words'; the model's inputs are 'tokens'"),
        (b'"logits"', b'"scores"', "the task answers from 'scores'; the model's outputs are 'logits'"),
    ],
)
def test_a_task_that_does_not_fit_is_not_exported(old, new, message, tmp_path):
    with pytest.raises(TaskError, match=message):
        exported(tmp_path / "a.rnnx", {"task.json": TASK.to_bytes().replace(old, new)})
    assert not list(tmp_path.iterdir())


MODEL = """
import torch
from torch import nn

class Copy(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, 1)
"""


def test_the_command_takes_assets(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "words").write_text("a b")
    source = [f"{tmp_path / 'model.py'}:Copy", "--input", "x: float32[batch, time, 2]", "-o", str(tmp_path / "a.rnnx")]
    asset = f"words.txt={tmp_path / 'words'}"

    def invoke(*arguments):
        return CliRunner().invoke(main, ["export", *source, *arguments])

    for more, message in (
        (["--asset", "words.txt"], "'words.txt' must be NAME=FILE"),
        (["--asset", f"x={tmp_path / 'none'}"], "cannot be read: No such file"),
        (["--asset", asset, "--asset", asset], "the asset 'words.txt' is given twice"),
    ):
        done = invoke(*more)
        assert done.exit_code == 2
        assert message in done.stderr
    done = invoke("--asset", asset)
    assert done.exit_code == 0, done.output
    assert held(tmp_path / "a.rnnx") == {"words.txt": b"a b"}
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "a.rnnx")]).output
    assert "assets/words.txt" in shown
