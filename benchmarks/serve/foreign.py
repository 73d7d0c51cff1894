"""The same requests from load generators that others wrote: ``wrk`` and ``hey``, where they are installed."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from .material import ATOL, error_of

if TYPE_CHECKING:
    from pathlib import Path

    from .material import Material

_SIZES = struct.Struct("<II")
_MOST_SAMPLES = 200
_TIMED = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.headers["Inference-Header-Content-Length"] = "{header_bytes}"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
"""
#: Writes each answer's lengths and bytes into a file: of a short run of its own, for it slows wrk down.
_SAMPLED = """
local out = io.open("{samples}", "wb")
local left = {most}
local function number(n)
  return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256, math.floor(n / 16777216))
end
function response(status, headers, body)
  if left == 0 then return end
  left = left - 1
  local json = 0
  for name, value in pairs(headers) do
    if name:lower() == "inference-header-content-length" then json = tonumber(value) end
  end
  out:write(number(json), number(#body), body)
  out:flush()
end
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreign:
    """What a foreign load generator told.

    Attributes:
        tool: its name.
        connections: at a time.
        per_s: answers in a second.
        failed: answers of another status than 200, and requests without one.
        checked: answers that were compared with a session's own (wrk), or by their size (hey).
    """

    tool: str
    connections: int
    per_s: float
    failed: int
    checked: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ask:
    """What a tool is to do."""

    port: int
    material: Material
    folder: Path
    connections: int
    seconds: float

    @property
    def url(self) -> str:
        """What is asked."""
        return f"http://127.0.0.1:{self.port}{self.material.path}"


def foreign_rates(port: int, material: Material, folder: Path, *, connections: int, seconds: float) -> list[Foreign]:
    """Rates by those tools that are installed; an empty list where none is.

    Raises:
        click.ClickException: a tool fails, or was given a wrong answer.
    """
    tools = {"wrk": _wrk, "hey": _hey}
    found = []
    for tool, run in tools.items():
        path = shutil.which(tool)
        if path is not None:
            found.append(
                run(path, _Ask(port=port, material=material, folder=folder, connections=connections, seconds=seconds))
            )
    return found


def _wrk(path: str, ask: _Ask) -> Foreign:
    material, folder, connections = ask.material, ask.folder, ask.connections
    body, samples = folder / "body.bin", folder / "samples.bin"
    body.write_bytes(material.bodies[0])
    timed = _TIMED.format(header_bytes=material.header_bytes, body=body)

    def run(script: str, for_s: float) -> str:
        lua = folder / "load.lua"
        lua.write_text(script, encoding="utf-8")
        length = f"{max(1, round(for_s))}s"
        return _output([path, "-t", "1", "-c", str(connections), "-d", length, "-s", str(lua), ask.url])

    run(timed + _SAMPLED.format(samples=samples, most=_MOST_SAMPLES), 1.0)
    checked = _check(samples.read_bytes(), material)
    told = run(timed, ask.seconds)
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", told))
    failed += sum(int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", told))
    return Foreign(tool="wrk", connections=connections, per_s=_rate(told), failed=failed, checked=checked)


def _hey(path: str, ask: _Ask) -> Foreign:
    material, connections, body = ask.material, ask.connections, ask.folder / "body.bin"
    body.write_bytes(material.bodies[0])
    length = f"Inference-Header-Content-Length: {material.header_bytes}"
    command = [path, "-z", f"{ask.seconds:g}s", "-c", str(connections), "-m", "POST"]
    command += ["-T", "application/octet-stream", "-H", length, "-D", str(body), "-disable-compression", ask.url]
    told = _output(command)
    answers = {int(status): int(count) for status, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", told)}
    size = re.search(r"Size/request:\s+(\d+) bytes", told)
    good = answers.get(200, 0)
    least = material.answers[0].nbytes
    if size is None or not least < int(size[1]) < least + 1024:
        raise click.ClickException(f"hey was given answers of another size than {least} bytes and a header: {told}")
    errors = sum(int(count) for count in re.findall(r"^\s+\[(\d+)\]\s+(?!\d+ responses)", told, re.MULTILINE))
    failed = sum(answers.values()) - good + errors
    return Foreign(tool="hey", connections=connections, per_s=_rate(told), failed=failed, checked=good)


def _check(samples: bytes, material: Material) -> int:
    """How many answers were sampled, after each was compared."""
    at = count = 0
    while at + _SIZES.size <= len(samples):
        json_bytes, size = _SIZES.unpack_from(samples, at)
        at += _SIZES.size
        if at + size > len(samples):
            break  # the tool ended while it wrote
        if not error_of(samples[at : at + size], json_bytes, material.answers[0]) <= ATOL:
            raise click.ClickException("wrk was given a wrong answer.")
        at += size
        count += 1
    if not count:
        raise click.ClickException("wrk was given no answer.")
    return count


def _rate(told: str) -> float:
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if found is None:
        raise click.ClickException(f"the load generator told no rate: {told}")
    return float(found[1])


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603
    if done.returncode:
        raise click.ClickException(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
