"""The command ``rnnx``: finds its subcommands late, and turns errors of rnnx into one line and exit code 1."""

from __future__ import annotations

import importlib
from typing import Any

import click

from .. import __version__
from ..errors import RnnxError

#: Each command, the module that holds it as ``command``, and the line that ``rnnx --help`` shows for it. Nothing is
#: imported before it is used: ``rnnx export`` imports torch, and ``rnnx doctor`` must run where nothing is installed.
COMMANDS = {
    "export": (".export", "Export a PyTorch model to a proven bundle."),
    "inspect": (".inspect", "Show what a bundle holds."),
    "quantize": (".quantize", "Add int8 or fp16 variants to a bundle, within an accuracy budget."),
    "verify": (".verify", "Prove again that a bundle gives its source's answers."),
    "run": (".run", "Run a bundle on a text, sound, picture or table, or on arrays."),
    "stream": (".stream", "Make any ONNX file run chunk by chunk, its states in and out."),
    "triton": (".triton", "Write a bundle as a model repository for NVIDIA Triton, or check one."),
    "kserve": (".kserve", "Write a KServe manifest that serves a bundle."),
    "ray": (".ray", "Serve bundles with Ray Serve, here or on a cluster."),
    "ray-data": (".ray_data", "Run a bundle over Parquet or npz files with Ray Data."),
    "serve": (".serve", "Serve bundles over HTTP, gRPC and WebSocket."),
    "bench": (".bench", "Measure a bundle beside its peers, and against the machine."),
    "tune": (".tune", "Find the fastest way to run a bundle here, and keep it in the bundle."),
    "zoo": (".zoo", "Systems trained on real data: list, export, train, score."),
    "doctor": (".doctor", "Tell what is installed, what works, and what mends the rest."),
}


class _LateGroup(click.Group):
    """A group whose commands are imported when they are called, and whose errors are one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(COMMANDS[cmd_name][0], __package__).command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  (click's signature)
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of our output went away; click ends quietly
        except (RnnxError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rnnx")
def main() -> None:
    """Export recurrent PyTorch models to proven ONNX bundles, and run them without torch.

    Exit codes: 0 success, 1 failure or parity miss, 2 usage.
    """
