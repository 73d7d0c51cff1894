"""Make the Python modules of ``inference.proto`` anew: ``python -m rnnx.runtime.serving.protocol.proto.generate``.

It needs grpcio-tools 1.78 (``pip install 'grpcio-tools==1.78.*'``, in an environment of its own; this file also runs by
its path). Code made by a newer protoc refuses the older protobuf runtimes that rnnx allows, so newer tools are refused.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROTO = "inference.proto"
PACKAGE = "rnnx.runtime.serving.protocol.proto"
#: The newest protobuf runtime that the generated code may ask for, for rnnx allows that one.
NEWEST = (6, 33)

#: What is changed in the generated code: (file, what stands there, what shall).
CHANGES = (
    # protoc knows nothing of packages, so that its imports would only find modules at the top.
    ("inference_pb2_grpc.py", "\nimport inference_pb2 as ", "\nfrom . import inference_pb2 as "),
    ("inference_pb2.py", "DESCRIPTOR, 'inference_pb2', ", f"DESCRIPTOR, '{PACKAGE}.inference_pb2', "),
    # See pool.py.
    (
        "inference_pb2.py",
        "from google.protobuf import descriptor_pool as _descriptor_pool\n",
        "from .pool import POOL as _pool\n",
    ),
    ("inference_pb2.py", "_descriptor_pool.Default()", "_pool"),
)


def generate(folder: Path) -> dict[str, str]:
    """The generated modules by file name, made in a folder.

    Raises:
        RuntimeError: grpcio-tools is missing or too new, or its code is not what is known here.
    """
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", f"--python_out={folder}"]
    command += [f"--pyi_out={folder}", f"--grpc_python_out={folder}", PROTO]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own words)
    if done.returncode != 0:
        raise RuntimeError(f"protoc failed: {done.stderr.strip()}. Install it: pip install 'grpcio-tools==1.78.*'.")
    made = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}
    version = re.search(r"Protobuf Python Version: (\d+)\.(\d+)", made["inference_pb2.py"])
    if version is None or (int(version[1]), int(version[2])) > NEWEST:
        found = version and version[0]
        raise RuntimeError(f"the code is for '{found}', at most {NEWEST} is allowed. Take grpcio-tools 1.78.")
    for name, old, new in CHANGES:
        if made[name].count(old) != 1:
            raise RuntimeError(f"'{old.strip()}' is not once in '{name}'. Take grpcio-tools 1.78.")
        made[name] = made[name].replace(old, new)
    return made


def main() -> None:
    """Write the modules beside ``inference.proto``."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in generate(Path(folder)).items():
            (HERE / name).write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")


if __name__ == "__main__":
    main()
