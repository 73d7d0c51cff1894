"""Pictures and moving pictures: sizes, layouts, colours, and files that are none."""

import io
import sys
import zlib

import numpy as np
import pytest

from rnnx.errors import InputError, MissingExtraError, ShapeError
from rnnx.runtime.tasks import pictures
from rnnx.runtime.tasks.pictures import image_array, video_array
from rnnx.runtime.tasks.read_kinds import ImageRead, VideoRead

Image = pytest.importorskip("PIL.Image")

COLOURS = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)


def encoded(picture, form="PNG", **options):
    made = io.BytesIO()
    picture.save(made, form, **options)
    return made.getvalue()


def read(source=COLOURS, dtype="uint8", **options):
    return image_array(source, ImageRead(**{"input": "x", "height": 4, "width": 6, **options}), "'x.png'", dtype)


@pytest.mark.parametrize(
    "source", [COLOURS, encoded(Image.fromarray(COLOURS)), encoded(Image.fromarray(COLOURS), "BMP")]
)
def test_a_picture_of_the_right_size_is_taken_as_it_is(source):
    np.testing.assert_array_equal(read(source, layout="NHWC"), COLOURS)
    np.testing.assert_array_equal(read(source), COLOURS.transpose(2, 0, 1))
    np.testing.assert_array_equal(read(source, layout="NWCH"), COLOURS.transpose(1, 2, 0))
    np.testing.assert_array_equal(read(source, layout="NPC"), COLOURS.reshape(24, 3))


def test_values_are_scaled():
    found = read(dtype="float32")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, COLOURS.transpose(2, 0, 1) / 255, rtol=1e-6)
    np.testing.assert_allclose(read(dtype="float32", scale=2), COLOURS.transpose(2, 0, 1) * 2.0)


def test_grey():
    grey = COLOURS[:, :, 0]
    np.testing.assert_array_equal(read(grey, channels=1, layout="NHW"), grey)
    np.testing.assert_array_equal(read(grey[:, :, None], channels=1, layout="NCHW"), grey[None])
    np.testing.assert_array_equal(read(grey, channels=1, layout="NP", invert=True), 255 - grey.reshape(-1))
    # ITU-R 601-2, as Pillow documents for the mode L.
    weights = COLOURS @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(read(channels=1, layout="NHW"), weights, atol=1)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_as_bright_as_of_8(form):
    grey = COLOURS[:, :, 0]
    deep = Image.fromarray(grey.astype(np.uint16) * 256 + 100)
    np.testing.assert_array_equal(read(encoded(deep, form), channels=1, layout="NHW"), grey)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_whose_white_is_not_known_are_refused(dtype):
    with pytest.raises(InputError, match=r"'x\.png' has pixels of 32 bits, .* Save it with 8 bits"):
        read(encoded(Image.fromarray(COLOURS[:, :, 0].astype(dtype)), "TIFF"))


def test_what_is_transparent_is_white():
    clear = np.dstack([COLOURS, np.where(np.arange(24).reshape(4, 6) % 2, 255, 0).astype(np.uint8)])
    expected = np.where(clear[:, :, 3:] == 0, 255, COLOURS)
    np.testing.assert_array_equal(read(clear, layout="NHWC"), expected)
    palette = Image.fromarray(COLOURS[:, :, 0]).convert("P")
    palette.info["transparency"] = int(np.asarray(palette)[0, 0])
    assert read(encoded(palette, transparency=palette.info["transparency"]), layout="NHWC")[0, 0].tolist() == [255] * 3


def test_a_photo_that_lies_on_its_side_is_set_up():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows of the file are columns of what was seen
    content = encoded(Image.fromarray(COLOURS), exif=exif)
    found = read(content, height=6, width=4, layout="NHWC")
    np.testing.assert_array_equal(found, np.rot90(COLOURS, -1))


def test_sizes():
    assert read(np.zeros((20, 50), np.uint8), height=10, width=None).shape == (3, 10, 25)
    assert read(np.zeros((1000, 1), np.uint8), height=10, width=None, least=1).shape == (3, 10, 1)
    stretched = read(np.repeat(np.array([[0, 255]], np.uint8), 2, axis=0), height=2, width=8, channels=1, layout="NHW")
    assert stretched[0, 0] == 0
    assert stretched[0, -1] == 255
    assert (np.diff(stretched[0].astype(int)) >= 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (9, 100), (100, 9)])
def test_a_picture_too_small_to_show_anything_is_refused(shape):
    message = rf"has {shape[1]} x {shape[0]} pixels; the model takes at least 10 x 10, and looks at 50 x 40\. Give"
    with pytest.raises(InputError, match=message):
        read(np.zeros(shape, np.uint8), height=40, width=50)
    assert read(np.zeros((10, 10), np.uint8), height=40, width=50).shape == (3, 40, 50)
    assert read(np.zeros(shape, np.uint8), height=40, width=50, least=1).shape == (3, 40, 50)


def test_padding_is_white_and_even():
    found = read(np.zeros((2, 6), np.uint8), height=4, width=8, fit="pad", channels=1, layout="NHW")
    assert (found[:, 0].tolist(), found[0].tolist()) == ([0, 0, 0, 255], [0] * 8) or (found == 0).sum() == 8 * 3
    found = read(np.zeros((2, 2), np.uint8), height=4, width=8, fit="pad", channels=1, layout="NHW")
    np.testing.assert_array_equal(found, [[255, 255, 0, 0, 0, 0, 255, 255]] * 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "'x.png' is empty. Give a PNG"),
        (b"no picture", "'x.png' is no picture that Pillow knows"),
        (encoded(Image.fromarray(COLOURS))[:60], "'x.png' is a broken picture"),
        (encoded(Image.fromarray(np.tile(COLOURS, (20, 20, 1))), "JPEG")[:700], "'x.png' is a broken picture"),
    ],
)
def test_files_that_are_no_pictures(content, message):
    with pytest.raises(InputError, match=message):
        read(content)


def test_any_cut_of_a_picture_is_read_or_refused():
    whole = encoded(Image.fromarray(np.tile(COLOURS, (3, 3, 1))))
    refused = 0
    for size in range(0, len(whole), 7):
        try:
            read(whole[:size])
        except InputError:
            refused += 1
    assert refused > len(whole) / 7 * 0.8


def test_a_small_file_of_many_pixels_is_refused(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 23)
    with pytest.raises(InputError, match=r"has 6 x 4 pixels; allowed are 23"):
        read(encoded(Image.fromarray(COLOURS)))
    with pytest.raises(InputError, match=r"'x.png', at the model's height, has"):
        read(np.zeros((1, 30), np.uint8), height=2, width=None)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 6)), r"is float64\[4, 6\]; an array must be uint8"),
        (np.zeros((4, 6, 2), np.uint8), r"is uint8\[4, 6, 2\]"),
        (np.zeros(4, np.uint8), r"is uint8\[4\]"),
        (np.zeros((0, 6), np.uint8), "has no pixels"),
    ],
)
def test_arrays_that_are_no_pictures(array, message):
    with pytest.raises(ShapeError, match=message):
        read(array)


def frames(count):
    return np.stack([np.full((4, 6), 20 * number, np.uint8) for number in range(count)])


def video(sources, **options):
    given = {"input": "x", "height": 4, "width": 6, "channels": 1, "layout": "NTHW", **options}
    return video_array(sources, VideoRead(**given), "'x.gif'", "uint8")


@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_the_frames_of_one_file(form):
    first, *others = [Image.fromarray(one) for one in frames(5)]
    content = encoded(first, form, save_all=True, append_images=others)
    np.testing.assert_array_equal(video([content]), frames(5))
    np.testing.assert_array_equal(video([content], frames=3), frames(5)[[0, 2, 4]])
    np.testing.assert_array_equal(video([content], frames=9)[[0, -1]], frames(5)[[0, -1]])


@pytest.mark.filterwarnings("ignore:Invalid APNG")
@pytest.mark.parametrize("count", [0, 2**31 + 1])
def test_frames_that_cannot_be_counted_are_no_single_picture(count):
    first, *others = [Image.fromarray(one) for one in frames(5)]
    content = encoded(first, save_all=True, append_images=others)
    at = content.index(b"acTL")
    chunk = b"acTL" + count.to_bytes(4) + content[at + 8 : at + 12]
    broken = content[:at] + chunk + zlib.crc32(chunk).to_bytes(4) + content[at + 16 :]
    with pytest.raises(InputError, match=r"is a broken picture: how many frames it has is not told\. Copy it again"):
        video([broken])
    assert len(video([encoded(first, save_all=True, append_images=others[:1])])) == 2
    assert len(video([encoded(first)])) == 1


def test_several_files_and_arrays():
    files = [encoded(Image.fromarray(one)) for one in frames(3)]
    np.testing.assert_array_equal(video(files), frames(3))
    np.testing.assert_array_equal(video(frames(3)), frames(3))
    assert video(np.zeros((3, 8, 12, 3), np.uint8), layout="NPCT").shape == (24, 1, 3)
    with pytest.raises(InputError, match=r"'x\.gif', file 2 is no picture"):
        video([files[0], b"?"])


def test_too_few_frames():
    with pytest.raises(InputError, match="has 2 frames; the model takes at least 4"):
        video(frames(2), least_frames=4)


def test_too_many_frames(monkeypatch):
    first, *others = [Image.fromarray(one) for one in frames(5)]
    monkeypatch.setattr(pictures, "MOST_FRAMES", 4)
    with pytest.raises(InputError, match="has more than 4 frames"):
        video([encoded(first, "GIF", save_all=True, append_images=others)])


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rnnx\[image\]'"):
        read(b"")
