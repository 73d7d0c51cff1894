"""What C++ code writes to standard output does not get into a report."""

import subprocess
import sys

CODE = """
import ctypes
from rnnx.exporters.quiet import silent
libc = ctypes.CDLL(None)
print("ours before")
libc.printf(b"theirs before\\n")
with silent():
    libc.printf(b"theirs within\\n")
libc.printf(b"theirs after\\n")
print("ours after")
"""


def test_only_what_is_written_within_is_lost():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split("\n")) == ["", "ours after", "ours before", "theirs after", "theirs before"]


def test_a_closed_standard_output_is_no_error():
    code = "import os; os.close(1)\nfrom rnnx.exporters.quiet import silent\nwith silent(): pass"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
