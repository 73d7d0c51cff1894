"""Two real replicas, and Ray Data over real files. Runs where Ray is; see test_environment.py."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import rnnx

ray = pytest.importorskip("ray", reason="Ray is not installed here")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PATH = "/v2/models/summing/infer"
STORE = 100
X = np.arange(6, dtype=np.float32).reshape(1, 2, 3)


class Application:
    """``rnnx ray`` as a process."""

    def __init__(self, folder, *given):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = folder / "ray.log"
        command = [sys.executable, "-m", "rnnx", "ray", *map(str, given), "--http-port", str(self.port)]
        command += ["--object-store", str(STORE), "--provider", "cpu", "--grace", "5"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def wait(self, seconds=120):
        until = time.monotonic() + seconds
        while "rnnx serves http" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    def ask(self, path, body=None, headers=None):
        """Status, answer, and which replica gave it."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            content = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, body=content, headers=headers or {})
            answer = connection.getresponse()
            content = answer.read()
            found = json.loads(content) if content.startswith(b"{") else content
            return answer.status, found, answer.getheader("x-rnnx-replica")

    def infer(self, x, sequence=None, *, start=False, header=True):
        body = {"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}]}
        headers = {}
        if sequence is not None:
            body["parameters"] = {"sequence_id": sequence, "sequence_start": start}
            headers = {"x-session-id": str(sequence)} if header else {}
        return self.ask(PATH, body, headers)

    def processes(self, name=""):
        """Ids of the processes below this one whose title holds a name."""
        parents, titles = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int(re.sub(r".*\) \S ", "", (folder / "stat").read_text()).split()[0])
                titles[int(folder.name)] = (folder / "cmdline").read_text()
        below, new = set(), {self.process.pid}
        while new:
            below |= new
            new = {pid for pid, parent in parents.items() if parent in below} - below
        return {pid for pid in below if name in titles.get(pid, "")}

    def pid_of(self, replica):
        """The process that has the log file of a replica open."""
        for pid in self.processes("ServeReplica"):
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if replica in file.readlink().name:
                        return pid
        raise AssertionError(replica)

    def close(self):
        below = self.processes()
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture(scope="module")
def application(summing_path, tmp_path_factory):
    made = Application(tmp_path_factory.mktemp("ray"), summing_path, "--replicas", "2", "--num-cpus", "0.5")
    try:
        made.wait()
        yield made
    finally:
        made.close()


def outputs(found):
    (one,) = found["outputs"]
    return np.array(one["data"], np.float32).reshape(one["shape"])


@pytest.fixture(scope="module")
def session(summing_path):
    with rnnx.load(summing_path, provider="cpu") as session:
        yield session


def test_both_replicas_answer_as_the_session_does(application, session, kit):
    there = set()
    for row in kit.sequences(30):
        status, found, replica = application.infer(row[np.newaxis])
        assert status == 200, found
        np.testing.assert_array_equal(outputs(found), session.run({"x": row[np.newaxis]})["y"])
        there.add(replica)
    assert len(there) == 2
    assert application.ask("/v2/health/ready")[0] == 200


def test_twelve_streams_stay_on_their_replicas(application):
    rng, order = np.random.default_rng(0), random.Random(0)  # noqa: S311
    left = {number: list(rng.standard_normal((10, 1, 4, 3)).astype(np.float32)) for number in range(1, 13)}
    totals, replicas = dict.fromkeys(left, 0.0), defaultdict(set)
    while left:
        number = order.choice(sorted(left))
        chunk = left[number].pop(0)
        status, found, replica = application.infer(chunk, number, start=len(left[number]) == 9)
        assert status == 200, found
        np.testing.assert_allclose(outputs(found), chunk.cumsum(1) + totals[number], rtol=0, atol=1e-4)
        totals[number] = totals[number] + chunk.sum(1)
        replicas[number].add(replica)
        if not left[number]:
            del left[number]
    assert [len(one) for one in replicas.values()] == [1] * 12
    assert len(set.union(*replicas.values())) == 2


def test_a_sequence_without_its_header_is_refused(application):
    status, found, _ = application.infer(X, 99, start=True, header=False)
    assert status == 400
    assert "its header 'x-session-id' is missing" in found["error"]


def test_a_websocket_goes_on_in_any_replica(application):
    client = pytest.importorskip("websockets.sync.client")
    url = f"ws://127.0.0.1:{application.port}/v2/models/summing/stream"
    inputs = [{"name": "x", "shape": [1, 2, 3], "datatype": "FP32", "data": X.ravel().tolist()}]

    def say(socket, message, kind):
        socket.send(json.dumps(message))
        found = json.loads(socket.recv(timeout=20))
        assert found["type"] == kind, found
        return found

    replicas, token = set(), ""
    for number in range(1, 40):
        with client.connect(url) as socket:
            replicas.add(socket.response.headers["x-rnnx-replica"])
            begun = say(socket, {"type": "start", **({"resume": token} if token else {})}, "started")
            assert begun["resumed"] == bool(token)
            answer = say(socket, {"type": "chunk", "inputs": inputs}, "answer")
            np.testing.assert_array_equal(outputs(answer)[0, -1], X.sum(1)[0] * number)
            token = say(socket, {"type": "token"}, "token")["token"]
        if number > 2 and len(replicas) == 2:
            break
    assert len(replicas) == 2


def test_a_killed_replica_takes_only_its_own_streams(application):
    where = {}
    for number in range(101, 125):
        status, _, where[number] = application.infer(X, number, start=True)
        assert status == 200
    victim, other = sorted(set(where.values()))
    os.kill(application.pid_of(victim), signal.SIGKILL)
    until, replicas, refused = time.monotonic() + 90, set(), []
    while len(replicas - {victim}) < 2:
        status, found, replica = application.infer(X)
        if status == 200:
            replicas.add(replica)
        else:
            refused.append((status, found))
        assert time.monotonic() < until
        time.sleep(0.1)
    assert len(refused) <= 1, refused  # the one that was under way, if any
    # The successor is in the ring now, where Ray's own hash would give it half of the other one's streams.
    for number, replica in where.items():
        status, found, answered = application.infer(X, number)
        if replica == victim:
            assert (status, "is not open" in found["error"]) == (404, True)
            assert application.infer(X, number, start=True)[0] == 200
        else:
            assert (status, answered) == (200, other)
            np.testing.assert_array_equal(outputs(found)[0, -1], X.sum(1)[0] * 2)


def test_it_ends_with_code_0_and_leaves_nothing(application):
    below = application.processes()
    assert len(below) > 3
    application.process.terminate()
    assert application.process.wait(60) == 0, application.log.read_text()
    until = time.monotonic() + 20
    while left := [pid for pid in below if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.1)


def test_ray_reads_the_config_file_as_it_was_meant(summing_path, tmp_path):
    import yaml
    from ray.serve.schema import ServeDeploySchema

    from rnnx.runtime.deploy.ray.settings import ROUTER, RaySettings, write_config

    settings = RaySettings(
        bundles={"summing": str(summing_path)}, min_replicas=2, max_replicas=4, target_ongoing_requests=3
    )
    write_config(settings, tmp_path / "app.yaml", host="127.0.0.1", port=8123)
    read = ServeDeploySchema.model_validate(yaml.safe_load((tmp_path / "app.yaml").read_text()))
    assert (read.http_options.host, read.http_options.port) == ("127.0.0.1", 8123)
    (one,) = read.applications
    module, _, name = one.import_path.partition(":")
    # As Ray does with an import path and its arguments.
    deployment = getattr(importlib.import_module(module), name)(one.args)._bound_deployment._deployment_config
    scaling = deployment.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 4, 3)
    assert deployment.request_router_config.request_router_class == ROUTER


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--replicas", "1000"], r"1000 replicas of 1 CPU each need 1000, and this machine has"),
        (["--host", "192.0.2.77"], r"'192.0.2.77' cannot be listened on"),
    ],
)
def test_what_this_machine_cannot_do(summing_path, tmp_path, given, message):
    application = Application(tmp_path, summing_path, *given)
    try:
        assert application.process.wait(120) == 1
        assert re.search(message, application.log.read_text())
    finally:
        application.close()


class TestData:
    """Ray Data over files."""

    @pytest.fixture(scope="class", autouse=True)
    def running(self):
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=STORE << 20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
        try:
            yield
        finally:
            ray.shutdown()

    @pytest.fixture(scope="class")
    def rows(self, kit):
        return kit.sequences(90, seed=1)

    @pytest.fixture(scope="class")
    def files(self, rows, tmp_path_factory):
        """Three files of each kind, thirty rows each."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = tmp_path_factory.mktemp("files")
        for number in range(3):
            part, ids = rows[number * 30 :][:30], np.arange(number * 30, number * 30 + 30)
            table = pa.table({"id": ids, "x": [row.tolist() for row in part]})
            pq.write_table(table, folder / f"{number}.parquet", row_group_size=7)
            offsets = np.cumsum([0, *map(len, part)])
            np.savez(folder / f"{number}.npz", id=ids, x=np.concatenate(part), **{"x.offsets": offsets})
        return folder

    @pytest.mark.parametrize("kind", ["parquet", "npz"])
    def test_the_command_keeps_rows_and_order(self, files, rows, lengths_path, tmp_path, kind):
        import click.testing
        import pyarrow as pa
        import pyarrow.parquet as pq

        from rnnx.cli.main import main

        given = [word for number in range(3) for word in ("--input", str(files / f"{number}.{kind}"))]
        given += ["--output", str(tmp_path / "out"), "--provider", "cpu", "--processes", "2", "--num-cpus", "0.5"]
        done = click.testing.CliRunner().invoke(main, ["ray-data", str(lengths_path), *given, "--batch-size", "8"])
        assert done.exit_code == 0, done.output
        assert "wrote 90 rows" in done.output
        assert [one.name for one in tmp_path.iterdir()] == ["out"]
        table = pa.concat_tables([pq.read_table(one) for one in sorted((tmp_path / "out").iterdir())])
        assert sorted(table.column_names) == ["id", "last", "x", "y"]
        assert table["id"].to_pylist() == list(range(90))
        with rnnx.load(lengths_path, provider="cpu") as session:
            for row, x, y in zip(rows, table["x"].to_pylist(), table["y"].to_pylist(), strict=True):
                np.testing.assert_array_equal(np.array(x, "f4"), row)
                np.testing.assert_allclose(y, session.run({"x": row[np.newaxis]})["y"][0], rtol=0, atol=1e-6)

    def test_map_batches_with_arrays(self, files, rows, lengths_path):
        from rnnx.runtime.deploy.ray.predictor import BundlePredictor

        answers = ray.data.read_parquet([str(files / f"{number}.parquet") for number in range(3)]).map_batches(
            BundlePredictor,
            fn_constructor_kwargs={"bundle": str(lengths_path), "provider": "cpu"},
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=0.5,
            batch_size=16,
        )
        found = {one["id"]: one for one in answers.take_all()}
        assert sorted(found) == list(range(90))
        for number, row in enumerate(rows):
            np.testing.assert_allclose(found[number]["y"], row.cumsum(0), rtol=0, atol=1e-4)
            np.testing.assert_allclose(found[number]["last"], row.sum(0), rtol=0, atol=1e-4)

    def test_a_wrong_column_is_told_and_nothing_is_left(self, files, lengths_path, tmp_path):
        from rnnx.runtime.deploy.ray.files import FilesOptions, map_files

        options = FilesOptions(num_cpus=0.5, predictor={"columns": {"x": "nope"}, "provider": "cpu"})
        with pytest.raises(rnnx.errors.InputError, match="from column 'nope', which is not there; there are 'id', 'x'"):
            map_files(lengths_path, [str(files / "0.parquet")], tmp_path / "out", options)
        assert list(tmp_path.iterdir()) == []

    def test_what_is_found_wrong_before_anything_runs(self, files, lengths_path, tmp_path):
        from rnnx.runtime.deploy.ray.files import FilesOptions, map_files

        parquet, npz = str(files / "0.parquet"), str(files / "0.npz")
        for inputs, message in (
            ([parquet, npz], "all must be .parquet, or all .npz"),
            (["a.csv"], "the inputs end with '.csv'"),
            (["a.npz"], "'a.npz' is not there"),
            ([], "no input is given"),
        ):
            with pytest.raises(rnnx.errors.InputError, match=message):
                map_files(lengths_path, inputs, tmp_path / "out", FilesOptions())
        with pytest.raises(rnnx.errors.DeployExistsError, match="exists already"):
            map_files(lengths_path, [npz], tmp_path, FilesOptions())
        with pytest.raises(rnnx.errors.BundleNotFoundError):
            map_files(tmp_path / "none.rnnx", [npz], tmp_path / "out", FilesOptions())

    def test_more_than_the_machine_has(self):
        from rnnx.runtime.deploy.ray.files import FilesOptions, check_room

        check_room(FilesOptions(processes=2, num_cpus=0.5), {"CPU": 2.0})
        with pytest.raises(
            rnnx.errors.InputError, match=r"2 processes of 1 CPU each, .* need 3, and this machine has 2"
        ):
            check_room(FilesOptions(processes=2), {"CPU": 2.0})
        with pytest.raises(rnnx.errors.InputError, match=r"of 1 GPU each need 1, and this machine has 0"):
            check_room(FilesOptions(num_gpus=1), {"CPU": 2.0})

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"x": np.zeros((3, 3)), "id": np.zeros(2)}, "different numbers of rows"),
            ({"x": np.zeros((3, 3)), "x.offsets": np.array([0, 2])}, "must be whole numbers"),
            ({"x": np.zeros((3, 3)), "x.offsets": np.array([0, 2, 1, 3])}, "never fall"),
            ({"x": np.zeros((3, 3)), "x.offsets": np.array([0.0, 3.0])}, "must be whole numbers"),
            ({"x": np.array(1.0)}, "is a single value"),
            ({"x": np.array([{}], object)}, "without pickles"),
        ],
    )
    def test_npz_files_that_do_not_fit(self, tmp_path, arrays, message):
        from rnnx.runtime.deploy.ray.files import npz_table

        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(rnnx.errors.InputError, match=message):
            npz_table(str(tmp_path / "a.npz"))
