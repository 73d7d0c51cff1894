"""Files of a benchmark: the earlier one that it is compared with, and the JSON and the page that stay of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic import write_atomically
from ...errors import InputError
from .comparing import compare_reports
from .page import page
from .report import SCHEMA, SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .comparing import Comparison
    from .report import Report

#: In place of a file: the JSON goes to the terminal.
TERMINAL = "-"


def read_report(path: str) -> dict[str, Any]:
    """What an earlier benchmark wrote.

    Raises:
        InputError: the file cannot be read, or is no such report of this version.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read as a benchmark's JSON: {error}. Write one with --json.") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"'{path}' is not a benchmark of rnnx. Write one with 'rnnx bench ... --json FILE'.")
    if data.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"'{path}' has schema version {data.get('schema_version')!r}; this rnnx reads {SCHEMA_VERSION}. "
            "Measure again with one version of rnnx."
        )
    if not all(isinstance(row, dict) and row.get("rounds_ms") for row in data.get("rows", [])):
        raise InputError(f"'{path}' was cut or changed: a row has no 'rounds_ms'. Measure again.")
    return data


def check_targets(*files: str | None) -> None:
    """Find out before minutes of measuring whether files can be written there.

    Raises:
        InputError: a file's folder does not exist, or a folder stands there.
    """
    for file in files:
        if file is None or file == TERMINAL:
            continue
        folder = Path(file).resolve().parent
        if not folder.is_dir():
            raise InputError(f"cannot write '{file}': the folder '{folder}' does not exist. Make it.")
        if Path(file).is_dir():
            raise InputError(f"cannot write '{file}': a folder stands there. Choose another name.")


def keep(
    report: Report, *, old: Mapping[str, Any] | None, threshold: float, json_file: str | None, html_file: str | None
) -> tuple[dict[str, Any], Comparison | None]:
    """Compare a benchmark with an earlier one and write what is asked for, each file whole or not at all.

    Args:
        report: the benchmark.
        old: the earlier one, or None.
        threshold: smallest relative change that counts.
        json_file: where the JSON goes; None or :data:`TERMINAL` for no file.
        html_file: where the page goes, or None.

    Returns:
        The JSON, the comparison in it, and the comparison by itself.

    Raises:
        InputError: the two have nothing in common. The files are written all the same.
        OSError: a file cannot be written.
    """
    measured = report.to_json()
    comparison = None
    try:
        if old is not None:
            comparison = compare_reports(old, measured, threshold=threshold)
            measured["comparison"] = comparison.to_json()
    finally:
        # Minutes of measuring are not lost where the earlier benchmark turns out to be of something else.
        if html_file is not None:
            write_atomically(Path(html_file), page(measured).encode())
        if json_file not in {None, TERMINAL}:
            text = json.dumps(measured, indent=1, allow_nan=False) + "\n"
            write_atomically(Path(str(json_file)), text.encode())
    return measured, comparison
