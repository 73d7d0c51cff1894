"""Pictures and moving pictures to arrays. Pillow reads them; it is imported when the first one is read."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, MissingExtraError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from .read_kinds import ImageRead, VideoRead

#: Pixels of a picture, above which it is refused: a small file can unfold to any size.
MOST_PIXELS = 64_000_000
#: Frames of a video, for the same reason.
MOST_FRAMES = 10_000

#: What is read, for messages.
_PICTURES = "a PNG, JPEG, GIF, WebP or the like"
_VIDEOS = "a GIF, APNG or WebP, or a folder of pictures"

#: What Pillow's readers raise on broken files; its warnings too, where they are made errors.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error, zlib.error, UserWarning)


def image_array(source: bytes | NDArray[Any], read: ImageRead, name: str, dtype: str) -> NDArray[Any]:
    """A picture as the model takes it, without its batch axis.

    Args:
        source: a file's bytes; or uint8 ``(height, width)``, ``(height, width, 1)``, ``(height, width, 3)`` or
            ``(height, width, 4)``, the fourth being opacity.
        read: what the model takes.
        name: what to call it in messages.
        dtype: of the model's input, ``uint8`` or a float.

    Raises:
        InputError: it is no picture, broken, or too large.
        MissingExtraError: Pillow is not installed.
    """
    picture = next(_frames(source, name)) if isinstance(source, bytes) else _from_array(source, name)
    laid: NDArray[Any] = _laid_out(_fitted(picture, read, name)[None], read, dtype)[0]
    return laid


def video_array(
    sources: Sequence[bytes] | NDArray[Any], read: VideoRead, name: str, dtype: str, files: Sequence[str] = ()
) -> NDArray[Any]:
    """Moving pictures as the model takes them, without their batch axis.

    Args:
        sources: one file of several frames, several files of one each, or uint8 ``(frames, height, width)`` or
            ``(frames, height, width, channels)``.
        read: what the model takes.
        name: what to call it in messages.
        dtype: of the model's input, ``uint8`` or a float.
        files: what to call each of several files; by their numbers if empty.

    Raises:
        InputError: a file is no picture or broken, or there are too few frames or too many.
        MissingExtraError: Pillow is not installed.
    """
    if isinstance(sources, np.ndarray):
        pictures = [_from_array(one, name) for one in sources]
    elif len(sources) == 1:
        pictures = list(_frames(sources[0], name, _VIDEOS))
    else:
        names = files or [f"{name}, file {number}" for number in range(1, len(sources) + 1)]
        pictures = [next(_frames(one, each)) for one, each in zip(sources, names, strict=True)]
    if len(pictures) < read.least_frames:
        found = "1 frame" if len(pictures) == 1 else f"{len(pictures)} frames"
        raise InputError(f"{name} has {found}; the model takes at least {read.least_frames}. Give more of them.")
    if read.frames is not None:
        # From the first to the last; where there are too few, some stand twice.
        picks = np.rint(np.linspace(0, len(pictures) - 1, read.frames)).astype(int)
        pictures = [pictures[one] for one in picks]
    laid: NDArray[Any] = _laid_out(np.stack([_fitted(one, read, name) for one in pictures])[None], read, dtype)[0]
    return laid


def _pillow() -> Any:  # noqa: ANN401  (a module)
    try:
        import PIL.Image  # noqa: PLC0415  (only who reads pictures needs it)
        import PIL.ImageOps  # noqa: PLC0415
        import PIL.ImageSequence  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "reading pictures needs Pillow, which is not installed. Run: pip install 'rnnx[image]'."
        ) from error
    return PIL


def _frames(content: bytes, name: str, wanted: str = _PICTURES) -> Iterator[Any]:
    """The frames of a picture file, as Pillow images of mode RGBA."""
    pillow = _pillow()
    try:
        with pillow.Image.open(io.BytesIO(content)) as file:
            _check_size(file.width, file.height, name)
            _check_animation(file, content, name)
            for number, frame in enumerate(pillow.ImageSequence.Iterator(file)):
                _check_count(number, name)
                # Cameras lay pictures on their side and say so.
                yield _coloured(pillow.ImageOps.exif_transpose(frame), name)
    except pillow.UnidentifiedImageError:
        what = "no picture that Pillow knows" if content else "empty"
        raise InputError(f"{name} is {what}. Give {wanted}.") from None
    except pillow.Image.DecompressionBombError as error:
        raise InputError(f"{name} is too large: {error}") from None
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(f"{name} is a broken picture: {error}. Copy it again.") from None


def _coloured(frame: Any, name: str) -> Any:  # noqa: ANN401  (Pillow images)
    """A frame in mode RGBA. Pillow itself would make all that is above 255 white."""
    if frame.mode.startswith("I;16"):  # the high byte, as Pillow reads colours of 16 bits
        return _from_array((np.asarray(frame) >> 8).astype(np.uint8), name)
    if frame.mode in {"I", "F"}:
        raise InputError(f"{name} has pixels of 32 bits, and which value is white is not told. Save it with 8 bits.")
    return frame.convert("RGBA")


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MOST_PIXELS:
        raise InputError(f"{name} has {width} x {height} pixels; allowed are {MOST_PIXELS}. Make it smaller.")


def _check_animation(file: Any, content: bytes, name: str) -> None:  # noqa: ANN401  (a Pillow image)
    """Refuse a PNG that says it moves and of which Pillow, with a warning, would show one picture."""
    told = content[: content.find(b"IDAT")].count(b"acTL") if file.format == "PNG" else 0
    if told > 1 or (told and file.get_format_mimetype() != "image/apng"):
        raise InputError(f"{name} is a broken picture: how many frames it has is not told. Copy it again.")


def _check_count(number: int, name: str) -> None:
    if number >= MOST_FRAMES:
        raise InputError(f"{name} has more than {MOST_FRAMES} frames. Cut it.")


def _from_array(array: NDArray[Any], name: str) -> Any:  # noqa: ANN401  (a Pillow image)
    images = _pillow().Image
    values = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype != np.uint8 or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in {3, 4})):
        raise ShapeError(
            f"{name} is {array.dtype}{list(array.shape)}; an array must be uint8 (height, width), "
            "(height, width, 3) or (height, width, 4)."
        )
    if not array.size:
        raise ShapeError(f"{name} has no pixels, shape {array.shape}.")
    return images.fromarray(np.ascontiguousarray(values)).convert("RGBA")


def _fitted(picture: Any, read: ImageRead | VideoRead, name: str) -> NDArray[np.uint8]:  # noqa: ANN401
    """A picture over white, at the model's size: uint8 ``(height, width, channels)``."""
    images = _pillow().Image
    white = images.new("RGBA", picture.size, "white")
    flat = images.alpha_composite(white, picture).convert("L" if read.channels == 1 else "RGB")
    width, height = flat.size
    least = max(1, min(read.height, read.width or read.height) // 4) if read.least is None else read.least
    if min(width, height) < least:
        raise InputError(
            f"{name} has {width} x {height} pixels; the model takes at least {least} x {least}, and looks at "
            f"{read.width or 'any'} x {read.height}. Give a larger picture."
        )
    size = (max(1, round(width * read.height / height)) if read.width is None else read.width, read.height)
    _check_size(*size, f"{name}, at the model's height,")
    if read.fit == "pad" and read.width is not None:
        factor = min(read.width / width, read.height / height)
        inner = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = flat if inner == flat.size else flat.resize(inner, images.Resampling.BILINEAR)
        flat = images.new(flat.mode, size, "white")
        flat.paste(small, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    elif size != flat.size:
        flat = flat.resize(size, images.Resampling.BILINEAR)
    values: NDArray[np.uint8] = np.asarray(flat, np.uint8).reshape(size[1], size[0], read.channels)
    return 255 - values if read.invert else values


def _laid_out(values: NDArray[np.uint8], read: ImageRead | VideoRead, dtype: str) -> NDArray[Any]:
    """``(batch, height, width, channels)``, or with frames behind the batch, as the layout orders them."""
    given = "NTHWC" if values.ndim == 5 else "NHWC"
    if "P" in read.layout:
        values = values.reshape(*values.shape[:-3], -1, values.shape[-1])
        given = given.replace("HW", "P")
    if "C" not in read.layout:
        values, given = values[..., 0], given[:-1]
    ordered = values.transpose([given.index(axis) for axis in read.layout])
    if dtype == "uint8":
        return np.ascontiguousarray(ordered)
    return np.ascontiguousarray(ordered.astype(np.float64) * read.scale).astype(dtype)
