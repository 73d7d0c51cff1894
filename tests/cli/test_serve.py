"""``rnnx serve``: what its options become."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rnnx.cli.main import main
from rnnx.runtime.serving import starting


@pytest.fixture
def started(monkeypatch):
    """What the server would be started with."""
    found = []

    def serve(start, announce):
        announce("rnnx serves http://127.0.0.1:1")
        found.append(start)
        return 0

    monkeypatch.setattr(starting, "serve", serve)
    return found


def test_what_is_served_by_default(started):
    done = CliRunner().invoke(main, ["serve", "a.rnnx", "b=c.rnnx"], catch_exceptions=False)
    assert (done.exit_code, done.output) == (0, "rnnx serves http://127.0.0.1:1\n")
    (start,) = started
    assert start == starting.Start(bundles=("a.rnnx", "b=c.rnnx"))


def test_every_option_arrives(started):
    given = "--host 0.0.0.0 --http-port 1 --no-grpc --provider cpu --precision int8 --threads 0 --max-batch 2"
    given += " --max-queue 3 --max-delay-ms 4 --padding 5 --max-frames 6 --max-streams 7 --stream-idle 8 --grace 10"
    given += (
        " --request-timeout 9 --max-body 11 --not-ready-delay 12 --reload --log-format json --log-level error --otel"
    )
    given += " --repository r --ports-file p --token-file t --token-key-file k --tls-cert c --tls-key y --tuned"
    given += " --open-metrics"
    done = CliRunner().invoke(main, ["serve", "a.rnnx", *given.split()], catch_exceptions=False)
    assert done.exit_code == 0
    (start,) = started
    models, server = start.models, start.server
    assert (models.provider, models.precision, models.tuned, models.threads) == ("cpu", "int8", True, None)
    assert (models.max_batch, models.max_queue, models.max_delay_ms, models.padding) == (2, 3, 4.0, 5.0)
    assert (models.max_frames, models.max_streams, models.stream_idle_s) == (6, 7, 8.0)
    assert (start.limits.request_s, start.limits.body_bytes) == (9.0, 11 << 20)
    assert (server.host, server.http_port, server.grpc_port, server.grace_s) == ("0.0.0.0", 1, None, 10.0)  # noqa: S104
    assert (server.not_ready_delay_s, server.reload_s, server.ports_file) == (12.0, 1.0, Path("p"))
    assert (server.tls_cert, server.tls_key) == (Path("c"), Path("y"))
    assert server.open_metrics
    assert (start.repository, start.token_file, start.token_key_file) == (Path("r"), Path("t"), Path("k"))
    assert (start.log_format, start.log_level, start.otel) == ("json", "error", True)


def test_a_tuned_entry_by_name(started):
    CliRunner().invoke(main, ["serve", "a.rnnx", "--tuned", "p99 1x8"], catch_exceptions=False)
    assert started[0].models.tuned == "p99 1x8"


def test_the_exit_code_is_the_servers(monkeypatch):
    monkeypatch.setattr(starting, "serve", lambda *_: 1)
    assert CliRunner().invoke(main, ["serve", "a.rnnx"]).exit_code == 1
