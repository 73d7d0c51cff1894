"""A bundle that does its job: from text, sound, pictures or a table to an answer for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...bundle import Bundle
from ...errors import InputError, TaskError, VariantError
from ..loading import load
from .batching import batches, feed, split
from .description import FILE, Description
from .fitting import check_description
from .generating import generate
from .read_kinds import TextRead, Words
from .reading import check_sizes, read_item
from .results import SplitResult, TextResult
from .streaming import check_streams, stream
from .tokenizers import check_text, encoder, unknown
from .write_kinds import GenerateWrite
from .writing import answer, read_outputs

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from ..session import Session
    from .reading import Item
    from .results import Result

#: Keywords of a task that generates, beside its options.
GENERATE = ("length", "temperature", "top_k", "seed")


class Task:
    """A description and the session that answers it. A context manager; safe to use from several threads."""

    def __init__(self, description: Description, session: Session) -> None:
        """Take over a session. Use :func:`load_task` to get both from a bundle.

        Raises:
            TaskError: the description does not fit the session's model.
            VariantError: the task generates, and the session is not of a streaming variant.
        """
        check_description(description, session.bundle.manifest.signature)
        if isinstance(description.write, GenerateWrite) and session.variant.mode != "streaming":
            raise VariantError("a task that generates runs on the streaming variant. Load that: mode='streaming'.")
        self.description = description
        self.session = session

    def __call__(self, source: Any, **options: float) -> Result:  # noqa: ANN401  (what each kind takes)
        """The answer to one source.

        Args:
            source: a text; or a path, a file's bytes or an array; see :func:`rnnx.runtime.tasks.reading.read_item`.
            options: values for the description's options; of a task that generates ``length``, ``temperature``,
                ``top_k`` and ``seed``.

        Raises:
            InputError: the source is not what the task takes, or an option is not known or out of its range.
            MissingExtraError: pictures are read, and Pillow is not installed.
            OSError: a file cannot be read.
            SessionError: ONNX Runtime failed, or the model's answer is none.
        """
        return self.batch([source], **options)[0]

    def batch(self, sources: Sequence[Any], **options: float) -> list[Result]:
        """The answers to several sources, run together where that changes no answer. As :meth:`__call__`."""
        read = self.description.read
        if isinstance(self.description.write, GenerateWrite):
            return [self._generated(one, options) for one in sources]
        values = self._options(options)
        if not (isinstance(read, TextRead) and read.split):
            return self._answers([read_item(read, one, self.session.signature) for one in sources], values)
        words = [self._words(one) for one in sources]
        flat = [read_item(read, word, self.session.signature) for one in words for word in one]
        results = iter(self._answers(flat, values))
        return [SplitResult(words=tuple(one), results=[next(results) for _ in one]) for one in words]

    def generate(self, text: str, **options: float) -> Iterator[str]:
        """The text that goes on from this one, piece by piece as it is drawn; of a task that generates alone.

        Args:
            text: where to go on from.
            options: ``length``, ``temperature``, ``top_k`` and ``seed``.

        Raises:
            TaskError: the task does not generate.
            InputError: the text or an option is not what the task takes.
            SessionError: ONNX Runtime failed, or the model gave no finite number.
        """
        write, read = self.description.write, self.description.read
        if not isinstance(write, GenerateWrite) or not isinstance(read, TextRead):
            raise TaskError(f"the task '{self.description.task}' does not generate. Call it with what it reads.")
        wrong = [name for name in options if name not in GENERATE]
        if wrong:
            raise _unknown_option(wrong[0], GENERATE)
        given: Mapping[str, Any] = {
            "length": write.length, "temperature": write.temperature, "top_k": write.top_k, "seed": 0, **options
        }  # fmt: skip
        check_text(read, self.beginning(text))
        ids = np.array(encoder(read.tokenizer).encode(self.beginning(text)), np.int64)
        symbols, join = read.tokenizer.symbols, write.join
        drawn = generate(self.session, write, read.input, ids, **given)
        return (join + symbols[one] for one in drawn)

    def beginning(self, text: str) -> str:
        """What a generated text goes on from: the text that was given, or the task's own start where that is empty."""
        write = self.description.write
        return text or (write.start if isinstance(write, GenerateWrite) else "")

    def unknown(self, source: object) -> tuple[str, ...]:
        """What of a text the model has no id for, each once: it reads all of that as one and the same.

        Args:
            source: as of :meth:`__call__`; of what is no text nothing is told.

        Raises:
            InputError: the text is empty.
        """
        read = self.description.read
        if not isinstance(read, TextRead) or not isinstance(source, str):
            return ()
        return unknown(encoder(read.tokenizer), self.beginning(source))

    def stream(self, source: Any, steps: int | None = None) -> Iterator[Result]:  # noqa: ANN401  (as __call__ takes)
        """The answers to the chunks of a sound or series, as they come; of a session of the streaming variant.

        Together they are the answer to the whole: tags and scores of further steps, further text, or the label and the
        forecast as they are by now.

        Args:
            source: as of :meth:`__call__`.
            steps: samples or rows of a chunk; a tenth of a second or one row by default.

        Raises:
            TaskError: the task has no answers for chunks.
            VariantError: the session is not of a streaming variant.
            InputError, OSError, SessionError: as :meth:`__call__`.
        """
        check_streams(self.description, self.session)
        item = read_item(self.description.read, source, self.session.signature)
        return stream(self.description, self.session, item, steps)

    def close(self) -> None:
        """Free the session."""
        self.session.close()

    def __enter__(self) -> Self:
        """This task."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _generated(self, text: str, options: Mapping[str, float]) -> TextResult:
        return TextResult(text="".join(self.generate(text, **options)), ids=())

    def _options(self, given: Mapping[str, float]) -> dict[str, float]:
        known = self.description.options
        wrong = [name for name in given if name not in known]
        if wrong:
            raise _unknown_option(wrong[0], tuple(known))
        return {**known, **given}

    def _words(self, text: object) -> list[str]:
        words = text.split() if isinstance(text, str) else []
        if not words:
            raise InputError("the text is empty. Give at least one word.")
        return words

    def _answers(self, items: Sequence[Item], options: Mapping[str, float]) -> list[Result]:
        write, signature = self.description.write, self.session.signature
        assert not isinstance(write, GenerateWrite)
        for item in items:
            check_sizes(item, signature)
        told = getattr(write, "lengths", None) is not None
        widened = self._widened()
        output = signature.output(write.output)
        over_time = any(isinstance(axis, str) for axis in output.axes[1:])
        found: dict[int, Result] = {}
        for numbers in batches(items, signature, output, told=told, widened=widened):
            chosen = [items[one] for one in numbers]
            outputs = self.session.run(feed(chosen, signature, options, widened), outputs=read_outputs(write))
            rows = split(outputs, signature, chosen)
            for number, row in zip(numbers, rows, strict=True):
                found[number] = answer(write, row, items[number], over_time=over_time)
        return [found[number] for number in range(len(items))]

    def _widened(self) -> dict[str, int]:
        """Inputs of letters, which are padded to the longest word, and with what."""
        read = self.description.read
        if isinstance(read, TextRead) and isinstance(read.tokenizer, Words) and read.tokenizer.letters is not None:
            return {read.tokenizer.letters.input: read.tokenizer.letters.pad}
        return {}


def load_task(path: str | os.PathLike[str], **options: Any) -> Task:  # noqa: ANN401  (as rnnx.load takes them)
    """Open a bundle that says what it is for.

    Args:
        path: the bundle's folder.
        options: as of :func:`rnnx.load`: ``provider``, ``precision``, ``threads``, ``tuned`` ...; the mode is
            ``streaming`` for a task that generates, else ``offline``.

    Raises:
        TaskError: the bundle has no task, or its description is wrong or does not fit the model.
        BundleError, VariantError, ProviderError, InputError, TuningError, MissingExtraError, SessionError: as
            :func:`rnnx.load`.
    """
    description = bundle_description(Bundle.open(path))
    mode = "streaming" if isinstance(description.write, GenerateWrite) else "offline"
    session = load(path, **{"mode": mode, **options})
    try:
        return Task(description, session)
    except BaseException:
        session.close()
        raise


def bundle_description(bundle: Bundle) -> Description:
    """What a bundle says that it is for.

    Raises:
        TaskError: it has no task, or the description is wrong.
        MissingFileError, AlteredFileError: the file is not what the manifest says.
    """
    if FILE not in bundle.assets:
        raise TaskError(
            f"bundle '{bundle.path}' has no task: it does not say what it reads and answers. Run it on arrays, with "
            f"--input, or export it with a description: --asset {FILE}=FILE."
        )
    return Description.from_bytes(bundle.asset(FILE))


def _unknown_option(name: str, known: Sequence[str]) -> InputError:
    there = ", ".join(f"'{one}'" for one in known) or "none"
    return InputError(f"the task has no option '{name}'; its options are: {there}.")
