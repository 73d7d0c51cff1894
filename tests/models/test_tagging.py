"""The address tagger: its data, its model, and what it reaches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnx.errors import MissingDataError
from rnnx.models.datasets import usaddress
from rnnx.models.datasets.packages import Package
from rnnx.models.datasets.usaddress import Address, load_addresses
from rnnx.models.tagging.data import HELD_OUT, key, load_held_out, part_of, parts, spell, write_held_out
from rnnx.models.tagging.face import FACE, LABELS, LETTERS, MOST_LETTERS
from rnnx.models.tagging.model import build
from rnnx.models.tagging.recipe import Varied, train
from rnnx.models.tagging.scoring import score, tag
from rnnx.models.tagging.system import TAGGING
from rnnx.models.zoo.running import TorchRunner
from rnnx.models.zoo.system import Training

XML = """<AddressCollection>
  <AddressString><AddressNumber>12</AddressNumber> <StreetName>Oak Hill</StreetName>
    <PlaceName>Rye,</PlaceName></AddressString>
  <AddressString><AddressNumber>12</AddressNumber> <StreetName>Elm</StreetName> <suffix>East,</suffix></AddressString>
  <AddressString></AddressString>
</AddressCollection>
"""
OAK = Address(words=("12", "Oak", "Hill", "Rye,"), labels=("AddressNumber", "StreetName", "StreetName", "PlaceName"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one small file."""
    (tmp_path / "small.xml").write_text(XML)
    package = Package(kind="sdist", name="usaddress", version="0", licence="MIT", files={"small.xml": ""})
    monkeypatch.setattr(usaddress, "PACKAGE", package)
    return tmp_path


def test_addresses_are_read(package):
    east = Address(words=("12", "Elm", "East,"), labels=("AddressNumber", "StreetName", "StreetNamePostDirectional"))
    assert load_addresses(package) == (OAK, east)


def test_a_missing_package_is_told(tmp_path):
    with pytest.raises(MissingDataError, match=r"'training/labeled\.xml' of usaddress 0\.5\.16 \(sdist, MIT\)"):
        load_addresses(tmp_path)


def test_one_address_is_in_one_part():
    found = parts(
        [OAK, replace(OAK, words=("12", "OAK", "hill", "rye")), replace(OAK, words=("13", "Oak", "Hill", "Rye"))]
    )
    assert sum(map(len, found.values())) == 2
    assert OAK in found[part_of(OAK)]
    assert key(OAK) == "12 oak hill rye"


def test_held_out_addresses_are_those_of_their_part():
    held_out = load_held_out()
    assert len(held_out) == 297
    assert {part_of(one) for one in held_out} == {"held out"}
    assert len({key(one) for one in held_out}) == len(held_out)
    assert {label for one in held_out for label in one.labels} <= set(LABELS)


def test_the_held_out_file_is_made_again(package, tmp_path, monkeypatch):
    monkeypatch.setattr("rnnx.models.tagging.data.part_of", lambda _: "held out")
    write_held_out(package, tmp_path / "made.npz")
    assert load_held_out(tmp_path / "made.npz") == load_addresses(package)
    assert HELD_OUT.stat().st_size < 30_000


def test_spelling():
    letters, lengths = spell([("Ab",), ("x" * 30, "\u00bd", "a")])
    assert lengths.tolist() == [1, 3]
    assert letters.shape == (2, 3, MOST_LETTERS)
    assert [LETTERS[one] for one in letters[0, 0, :3]] == ["A", "b", "<pad>"]
    assert LETTERS[letters[1, 1, 0]] == "<unknown>"
    assert (letters[0, 1:] == 0).all()
    assert spell([("a",)])[0].shape == (1, 1, 2)


def test_addresses_are_never_quite_the_same():
    other = Address(
        words=("7", "North", "Long", "Lake,", "Ely"), labels=("AddressNumber", *["StreetName"] * 3, "PlaceName")
    )
    varied = Varied([OAK, other])
    generator = np.random.default_rng(0)
    drawn = [varied.draw(0, generator) for _ in range(200)]
    assert len({one.words for one in drawn}) > 50
    known = {word.lower().rstrip(",") for one in (OAK, other) for word in one.words}
    for one in drawn:
        assert len(one.words) == len(one.labels)
        assert one.labels[0] == "AddressNumber"
        assert one.labels[-1] == "PlaceName"
        assert one.words[0].isdigit()
        assert one.words[0][0] != "0"
        assert {word.lower().rstrip(",") for word in one.words[1:]} <= known
        # A comma stays with its place, or is left out everywhere.
        assert not one.words[0].endswith(",")
    assert {one.words[-1] for one in drawn} >= {"Rye,", "Rye", "RYE,", "rye,", "Ely,"}
    again = np.random.default_rng(0)
    assert [varied.draw(0, again) for _ in range(200)] == drawn


def test_words_are_the_same_among_longer_ones_and_longer_addresses():
    torch.manual_seed(0)
    runner = TorchRunner(build(), FACE)
    short, long = [("12", "Oak"), ("a", "b", "c")], ("extraordinarily", "long", "words", "in", "a", "row")
    together = runner.run(dict(zip(("letters", "lengths"), spell([*short, long]), strict=True)))["logits"]
    for row, words in enumerate([*short, long]):
        letters, lengths = spell([words])
        alone = runner.run({"letters": letters, "lengths": lengths})["logits"]
        np.testing.assert_allclose(together[row, : len(words)], alone[0], rtol=0, atol=2e-5)
    assert not together[0, 2:].any()


def test_score():
    class Known:
        name = "known"

        def run(self, inputs):
            """Everything is a street's name."""
            return {"logits": np.eye(len(LABELS))[np.zeros(inputs["letters"].shape[:2], int)]}

    found = score(Known(), [OAK, Address(words=("Elm",), labels=("StreetName",))])
    assert (found.value, found.count) == (3 / 5, 5)
    assert found.details["whole addresses"] == 0.5
    assert found.details["always the most frequent"] == 3 / 5
    assert found.details["macro F1"] == pytest.approx((2 * 3 / 8) / 3)
    assert tag(Known(), [("a", "b"), ("c",)]) == [("StreetName",) * 2, ("StreetName",)]


@pytest.mark.slow
def test_training_learns_from_what_is_found(package):
    """Addresses of three words, told by their first letter and their digits."""
    rows = "".join(
        f"<AddressString><AddressNumber>{number}</AddressNumber> "
        f"<StreetName>Oak{'abcdefghij'[number % 10]}</StreetName> "
        f"<PlaceName>Rye{number}</PlaceName></AddressString>"
        for number in range(300)
    )
    (package / "small.xml").write_text(f"<AddressCollection>{rows}</AddressCollection>")
    module = train(Training(steps=80, data=package, seed=1))
    held_out = parts(load_addresses(package))["held out"]
    assert len(held_out) > 30
    assert score(TorchRunner(module, FACE), held_out).value > 0.95


def test_the_system_describes_itself():
    from rnnx.runtime.tasks.description import Description

    description = Description.from_bytes(TAGGING.assets()["task.json"])
    assert (description.task, description.write.labels) == ("address-tagging", LABELS)
    assert TAGGING.home.name == "tagging"


def test_the_checkpoint_reaches_what_it_says():
    from rnnx.models.zoo.weights import trained

    found = score(TorchRunner(trained(TAGGING), FACE), load_held_out())
    assert found.count == 2101
    # To the words of one address: another processor may differ in the last bits.
    assert found.value == pytest.approx(0.93574, abs=0.002)
    assert found.details["whole addresses"] == pytest.approx(0.7542, abs=0.007)


@pytest.mark.slow
def test_the_bundle_tags_what_a_person_types(zoo_bundle):
    import rnnx
    from rnnx.models.zoo.weights import trained

    with rnnx.load_task(zoo_bundle("tagging")) as task:
        first, second = task.batch(["123 E. Main St. Apt 4B, Springfield, IL 62704", "PO Box 12 Portland OR"])
        assert dict(zip(first.tokens, first.labels, strict=True)) == {
            "123": "AddressNumber",
            "E.": "StreetNamePreDirectional",
            "Main": "StreetName",
            "St.": "StreetNamePostType",
            "Apt": "OccupancyType",
            "4B,": "OccupancyIdentifier",
            "Springfield,": "PlaceName",
            "IL": "StateName",
            "62704": "ZipCode",
        }
        assert str(second).splitlines()[0] == "PO Box    USPSBoxType"
        addresses = load_held_out()
        told = [one.labels for one in task.batch([" ".join(one.words) for one in addresses])]
        assert told == tag(TorchRunner(trained(TAGGING), FACE), [one.words for one in addresses])
        with pytest.raises(rnnx.errors.InputError, match="the text is empty"):
            task("   ")
