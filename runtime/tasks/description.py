"""The description of a task, ``task.json`` in a bundle: what it takes, what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003  (the codec looks at the hints)
from dataclasses import dataclass, field
from typing import Any

from ...errors import TaskError
from .codec import check_fields, from_json, to_json
from .read_kinds import (
    AudioRead,
    Characters,
    ImageRead,
    Letters,
    Pieces,
    Read,
    SeriesRead,
    Table,
    TextRead,
    VideoRead,
    Words,
)
from .write_kinds import (
    AudioWrite,
    CtcWrite,
    ForecastWrite,
    GenerateWrite,
    LabelsWrite,
    Mel,
    ScoresWrite,
    TagsWrite,
    TokensWrite,
    Write,
)

__all__ = [
    "FILE",
    "VERSION",
    "AudioRead",
    "AudioWrite",
    "Characters",
    "CtcWrite",
    "Description",
    "ForecastWrite",
    "GenerateWrite",
    "ImageRead",
    "LabelsWrite",
    "Letters",
    "Mel",
    "Pieces",
    "ScoresWrite",
    "SeriesRead",
    "Table",
    "TagsWrite",
    "TextRead",
    "TokensWrite",
    "VideoRead",
    "Words",
]

#: Name of the asset that holds it.
FILE = "task.json"

#: The form of the file that is written here, and the only one that is read.
VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What a bundle is for.

    Attributes:
        task: a short name, such as ``text-classification``.
        read: what it takes.
        write: what it answers.
        about: a sentence for people.
        options: inputs beside what is read, by name, and their values unless the user gives others: a decoder's
            ``max_steps``, ``temperature``, ``seed``. A value goes to every row of the batch.
        samples: something to try, as one would give it: a text, or a file's name.
    """

    task: str
    read: Read
    write: Write
    about: str = ""
    options: Mapping[str, float] = field(default_factory=dict)
    samples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        if not self.task:
            raise TaskError("the task has no name. Give it one, such as 'text-classification'.")
        if isinstance(self.write, GenerateWrite) and not isinstance(self.read, TextRead):
            raise TaskError("a task that generates goes on from a text, so it must read text.")
        if (
            isinstance(self.write, GenerateWrite)
            and isinstance(self.read, TextRead)
            and self.read.tokenizer.end is not None
        ):
            raise TaskError("a task that generates goes on from a text, so its tokenizer must put no end behind it.")

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, as the file holds it: what is at its default is left out."""
        data: dict[str, Any] = to_json(self)
        return {"version": VERSION, **data}

    def to_bytes(self) -> bytes:
        """The file."""
        return (json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: object) -> Description:
        """The description that :meth:`to_json` wrote.

        Raises:
            TaskError: it is of another version, has keys that are not known, lacks some, or does not fit together.
        """
        if not isinstance(data, dict):
            raise TaskError(f"'{FILE}' holds {type(data).__name__}; it must hold an object.")
        version = data.get("version")
        if version != VERSION or isinstance(version, bool):
            newer = isinstance(version, int) and version > VERSION
            told = "It was written by a newer rnnx: update this one." if newer else "Describe the task again."
            raise TaskError(f"'{FILE}' has version {version!r}; this rnnx reads version {VERSION}. {told}")
        found: Description = from_json({key: one for key, one in data.items() if key != "version"}, cls, "task")
        return found

    @classmethod
    def from_bytes(cls, content: bytes) -> Description:
        """The description in a file's bytes.

        Raises:
            TaskError: they are no such file.
        """
        try:
            data = json.loads(content)
        except ValueError as error:
            raise TaskError(f"'{FILE}' is no JSON: {error}.") from None
        return cls.from_json(data)
