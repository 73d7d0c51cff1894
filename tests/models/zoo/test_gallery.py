"""The gallery: the page is sound HTML, the plots are pictures, and an exhibit is made by its bundle."""

from __future__ import annotations

import dataclasses
import struct
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from rnnx.errors import MissingDataError
from rnnx.models.zoo import registry
from rnnx.models.zoo.gallery import __main__ as gallery
from rnnx.models.zoo.gallery.exhibit import Exhibit, Picture, Sound, Text
from rnnx.models.zoo.gallery.page import page
from rnnx.models.zoo.gallery.plots import Panel, heatmap, image, lines, overlays


class Read(HTMLParser):
    """What stands on a page: its text, its tags, and the attributes of each; every tag must be closed."""

    EMPTY = frozenset({"meta", "img"})

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.attributes, self.open = "", [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


EVIL = "<script>alert('x')</script> & \"quoted\" <b>"


def test_a_page_escapes_whatever_it_is_given():
    pieces = (
        Text(given=EVIL, answer=EVIL, about=EVIL),
        Picture(png=b"png", about=EVIL),
        Sound(wav=b"wav", about=EVIL),
    )
    text = page([(EVIL, EVIL, EVIL, Exhibit(about=EVIL, pieces=pieces))], footer=EVIL)
    read = Read(text)
    assert "script" not in read.tags
    assert "b" not in read.tags
    # Facts, name, task (twice: link and heading), what is shown, a text's three parts, two captions, and the footer.
    assert read.text.count(EVIL) == 11
    assert dict(read.attributes)["alt"] == EVIL
    assert ("src", "data:image/png;base64,cG5n") in read.attributes
    assert ("src", "data:audio/wav;base64,d2F2") in read.attributes


def test_a_page_leaves_out_what_a_text_has_not():
    text = page([("a", "b", "c", Exhibit(about="", pieces=(Text(given="", answer="said"),)))], footer="")
    assert "<pre>said</pre>" in text
    assert 'class="given"' not in text


def size(png):
    """Width and height of a PNG, by its first chunk."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def test_a_heatmap_is_as_large_as_its_labels_need():
    pytest.importorskip("matplotlib")
    short = size(heatmap(np.eye(3), columns=list("abc"), rows=list("xyz")))
    words = size(heatmap(np.eye(3), columns=["unwatchable", "$5 and $6", "mess"], rows=list("xyz")))
    assert words[0] == short[0]
    assert words[1] > short[1] + 50
    wide, high = size(heatmap(np.random.default_rng(0).random((200, 300))))
    assert wide <= 1300
    assert high <= 1100


def test_lines_grow_by_the_panel_and_are_the_same_bytes_again():
    pytest.importorskip("matplotlib")
    x = np.arange(50.0)
    panel = Panel(
        series={"sine": (x, np.sin(x))},
        band=(x, np.sin(x) - 1, np.sin(x) + 1),
        band_name="band",
        marks=[(3.0, 4.0)],
        mark_name="mark",
        level=0.5,
        level_name="level",
        low=-2.0,
        high=2.0,
    )
    named = Panel(series={"told": (x, x % 2)}, names=("left", "right"))
    shaded = Panel(series={}, shades=(np.outer(x, x), (0.0, 1.0, 0.0, 4.0)))
    one, three = lines(panel), lines(panel, named, shaded, xlabel="steps", title="three")
    assert size(one)[0] == size(three)[0] == 990
    assert size(one)[1] < size(three)[1] < 1000
    assert lines(panel) == one
    assert lines(dataclasses.replace(panel, marks=())) != one


def test_an_image_has_so_many_pixels_for_each():
    pytest.importorskip("matplotlib")
    assert size(image(np.zeros((8, 12), np.uint8), scale=10)) == (120, 80)


def test_overlays_are_the_image_and_once_for_each_word_in_rows():
    pytest.importorskip("matplotlib")
    pixels, maps = np.full((32, 32, 3), 200, np.uint8), np.random.default_rng(0).random((3, 8, 8))
    one, two = (overlays(pixels, maps, ["a", "red", "car"], columns=columns) for columns in (4, 2))
    assert size(one)[0] == pytest.approx(2 * size(two)[0], abs=1)
    assert size(two)[1] == pytest.approx(2 * size(one)[1], abs=1)
    assert overlays(pixels, maps[::-1], ["a", "red", "car"], columns=4) != one


def test_an_exhibit_is_made_by_its_bundle(zoo_bundle):
    pytest.importorskip("matplotlib")
    shown = registry.system("policy").exhibit(zoo_bundle("policy"))
    own, chance = shown.pieces
    assert own.about.startswith(
        "Each push its own: the policy holds the pole for 500 steps of at most 500, the network without a memory for "
    )
    assert int(own.about.removesuffix(".").rpartition(" ")[2]) < 100
    assert chance.about.startswith("20% of the pushes by chance: ")
    assert size(own.png) == size(chance.png)
    assert own.png != chance.png


@pytest.fixture
def shown(zoo, monkeypatch):
    """Let the small system `tones` show something."""

    def show(exhibit):
        monkeypatch.setattr(zoo, "TONES", dataclasses.replace(zoo.TONES, exhibit=exhibit))

    return show


def test_the_command_writes_a_page_of_what_each_bundle_shows(shown, tmp_path):
    shown(lambda bundle: Exhibit(about="two tones", pieces=(Text(given=bundle.name, answer="high & low"),)))
    out = tmp_path / "page.html"
    done = CliRunner().invoke(gallery.main, ["tones", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "(1 systems" in done.output
    read = Read(out.read_text(encoding="utf-8"))
    for text in ("telling tones apart", "25.0% share of ones", "tones.rnnx", "high & low"):
        assert text in read.text


def test_a_system_whose_data_is_not_there_is_left_out_and_said_so(shown, tmp_path):
    def missing(bundle):
        raise MissingDataError("the tones are not here: pip download tones")

    shown(missing)
    out = tmp_path / "page.html"
    done = CliRunner().invoke(gallery.main, ["tones", "-o", str(out)])
    assert done.exit_code == 1
    assert "tones is left out: the tones are not here: pip download tones" in done.output
    assert "none of tones has anything to show" in done.output
    assert not out.exists()
