"""The life of a server as a process: ports, readiness, reload and the end, under load."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")


class Process:
    """A server on a free port."""

    def __init__(self, folder, *given):
        self.ports_file = folder / "ports.json"
        self.log = (folder / "log.jsonl").open("w+", encoding="utf-8")
        command = [sys.executable, "-m", "rnnx", "serve", *map(str, given), "--http-port", "0", "--provider", "cpu"]
        command += ["--ports-file", str(self.ports_file), "--log-format", "json", "--log-level", "debug"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def wait_listening(self):
        until = time.monotonic() + 30
        while not self.ports_file.exists():
            assert self.process.poll() is None, self.lines()
            assert time.monotonic() < until
            time.sleep(0.02)
        self.ports = json.loads(self.ports_file.read_text(encoding="utf-8"))

    def ask(self, method, path, body=None, *, headers=None, connection=None):
        """Status and answer of one request."""
        with contextlib.ExitStack() as stack:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=30)
                stack.callback(connection.close)
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("connection")

    def wait_ready(self, seconds=30):
        until = time.monotonic() + seconds
        while self.ask("GET", "/v2/health/ready")[0] != 200:
            assert time.monotonic() < until
            time.sleep(0.02)

    def index(self):
        return {one["name"]: one for one in json.loads(self.ask("POST", "/v2/repository/index", {})[1])}

    def lines(self):
        self.log.flush()
        self.log.seek(0)
        return [json.loads(line) if line.startswith("{") else line for line in self.log.read().splitlines()]

    def answered(self):
        """How many requests the server says that it answered."""
        return sum(one["event"] == "request" and one["status"] == "ok" for one in self.lines())

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()
        self.log.close()


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:

        def begin(*given):
            process = Process(tmp_path, *given)
            stack.callback(process.close)
            process.wait_listening()
            return process

        yield begin


def body(x):
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}]}


def values(answer):
    (output,) = json.loads(answer)["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


class Clients:
    """Threads that ask without a pause, each on connections of its own."""

    def __init__(self, server, x, number=4):
        self.server, self.x, self.answers, self.wrong, self.lost = server, x, [], [], []
        self._going = True
        self._threads = [threading.Thread(target=self._ask) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._going = False
        for thread in self._threads:
            thread.join()

    def _ask(self):
        connection = None
        while self._going:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.server.ports["http"], timeout=30)
                    connection.connect()
                status, answer, after = self.server.ask(
                    "POST", "/v2/models/leaky/infer", body(self.x), connection=connection
                )
            except ConnectionRefusedError:
                connection.close()
                return  # the server accepts nothing any more
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(error)
                connection.close()
                connection = None
                continue
            if status == 200:
                self.answers.append(values(answer))
            else:
                self.wrong.append((status, answer))
            if after == "close":
                connection.close()
                connection = None
        if connection is not None:
            connection.close()


def test_sigterm_under_load_answers_all_that_was_accepted(kit, leaky_path, start):
    server = start(leaky_path, "--no-grpc")
    server.wait_ready()
    x = kit.frames(500)
    clients = Clients(server, x)
    time.sleep(0.5)
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 0
    assert time.monotonic() - begun < 10
    clients.stop()
    assert clients.wrong == []
    assert len(clients.answers) > 20
    # What the server answered, somebody got; a connection that it never accepted is not a request.
    assert len(clients.answers) == server.answered()
    for answer in clients.answers[:: max(1, len(clients.answers) // 10)]:
        np.testing.assert_allclose(answer, kit.by_hand(x), atol=1e-4)
    assert not server.ports_file.exists()
    assert server.process.stdout.read() == f"rnnx serves http://127.0.0.1:{server.ports['http']}\n"
    assert server.lines()[-1]["event"] == "ended"


def test_not_ready_before_closed_and_a_slow_request_is_waited_for(kit, leaky_path, start):
    # A request waits 1.5 s for company, far behind the moment when the server closes.
    server = start(leaky_path, "--no-grpc", "--not-ready-delay", "0.5", "--max-delay-ms", "1500")
    server.wait_ready()
    begun = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    while server.ask("GET", "/v2/health/ready")[0] != 503:
        assert time.monotonic() < begun + 0.5
    assert server.ask("GET", "/v2/health/live")[0] == 200
    x = kit.frames(2)
    status, answer, after = server.ask("POST", "/v2/models/leaky/infer", body(x))
    assert time.monotonic() > begun + 1.5
    assert (status, after) == (200, "close")
    np.testing.assert_allclose(values(answer), kit.by_hand(x), atol=1e-5)
    assert server.process.wait(15) == 0


def test_a_websocket_is_told_that_the_server_goes_and_goes_on_at_the_next_one(kit, leaky_path, tmp_path, start):
    client = pytest.importorskip("websockets.sync.client")
    exceptions = pytest.importorskip("websockets.exceptions")
    (tmp_path / "key").write_bytes(bytes(32))
    x = kit.frames(4)

    def chunk(first, last):
        return json.dumps({"type": "chunk", **body(x[:, first:last])})

    server = start(leaky_path, "--no-grpc", "--token-key-file", tmp_path / "key")
    server.wait_ready()
    address = "ws://127.0.0.1:{}/v2/models/leaky/stream"
    with client.connect(address.format(server.ports["http"])) as socket:
        socket.send(json.dumps({"type": "start"}))
        assert json.loads(socket.recv(10))["type"] == "started"
        socket.send(chunk(0, 3))
        np.testing.assert_allclose(values(socket.recv(10)), kit.by_hand(x)[:, :3], atol=1e-5)
        server.process.send_signal(signal.SIGTERM)
        told = json.loads(socket.recv(10))
        assert told["type"] == "token"
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            socket.recv(10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "the server is going down")
    assert server.process.wait(15) == 0
    server = start(leaky_path, "--no-grpc", "--token-key-file", tmp_path / "key")
    server.wait_ready()
    with client.connect(address.format(server.ports["http"])) as socket:
        socket.send(json.dumps({"type": "start", "resume": told["token"]}))
        assert json.loads(socket.recv(10))["resumed"]
        socket.send(chunk(3, 4))
        np.testing.assert_allclose(values(socket.recv(10)), kit.by_hand(x)[:, 3:], atol=1e-5)


def test_what_is_not_answered_within_the_grace_time_is_told_by_the_exit_code(kit, leaky_path, start):
    # The request waits for company that does not come.
    server = start(leaky_path, "--no-grpc", "--grace", "0.3", "--max-delay-ms", "20000")
    server.wait_ready()
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=30)
    connection.request("POST", "/v2/models/leaky/infer", body=json.dumps(body(kit.frames(2))))
    time.sleep(0.3)
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 1
    assert time.monotonic() - begun < 5
    connection.close()
    assert server.lines()[-1]["event"] == "ended before everything was answered"


def test_a_second_signal_ends_it_at_once(leaky_path, start):
    server = start(leaky_path, "--no-grpc", "--not-ready-delay", "30")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.process.poll() is None
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 2
    assert not server.ports_file.exists()


@pytest.mark.slow
def test_hot_reload_under_load_fails_no_request(kit, tmp_path, start):
    path = kit.write(tmp_path / "leaky.rnnx", decay=0.5)
    server = start(path, "--no-grpc", "--reload")
    server.wait_ready()
    x = kit.frames(50)
    old, new = kit.by_hand(x, 0.5), kit.by_hand(x, 0.25)
    clients = Clients(server, x, number=2)
    kit.write(path, decay=0.25, overwrite=True)
    until = time.monotonic() + 20
    while not (clients.answers and np.allclose(clients.answers[-1], new, atol=1e-4)):
        assert time.monotonic() < until
        time.sleep(0.05)
    # A new bundle that is broken leaves this one serving, and says why.
    kit.write(path, decay=0.75, proven_decay=0.5, overwrite=True)
    while "refused" not in server.index()["leaky"]["reason"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    clients.stop()
    assert (clients.wrong, clients.lost) == ([], [])
    assert np.allclose(clients.answers[0], old, atol=1e-4)
    assert all(np.allclose(one, old, atol=1e-4) != np.allclose(one, new, atol=1e-4) for one in clients.answers)
    assert server.index()["leaky"]["state"] == "READY"
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 0


def test_an_altered_bundle_is_never_ready_beside_a_good_one(kit, leaky_path, tmp_path, start):
    bad = tmp_path / "bad.rnnx"
    shutil.copytree(leaky_path, bad)
    (bad / "golden.npz").write_bytes(b"nothing")
    server = start(leaky_path, bad, "--no-grpc")
    until = time.monotonic() + 20
    while server.index()["bad"]["state"] != "UNAVAILABLE" or server.index()["leaky"]["state"] != "READY":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert server.ask("GET", "/v2/health/ready")[0] == 503
    assert "the manifest says" in server.index()["bad"]["reason"]
    status, answer, _ = server.ask("POST", "/v2/models/bad/infer", body(kit.frames(1)))
    assert status == 503
    assert b"model 'bad' is UNAVAILABLE" in answer
    assert server.ask("POST", "/v2/models/leaky/infer", body(kit.frames(1)))[0] == 200
    # Mended, it can be loaded.
    shutil.copy(leaky_path / "golden.npz", bad / "golden.npz")
    assert server.ask("POST", "/v2/repository/models/bad/load", {})[0] == 200
    assert server.ask("GET", "/v2/health/ready")[0] == 200


def test_a_bearer_token(kit, leaky_path, tmp_path, start):
    (tmp_path / "token").write_text("s3cret\n", encoding="ascii")
    server = start(leaky_path, "--no-grpc", "--token-file", tmp_path / "token")
    for headers, expected in (
        ({}, 401),
        ({"authorization": "Bearer s3cre"}, 401),
        ({"authorization": "Bearer s3cret"}, 200),
    ):
        assert server.ask("POST", "/v2/repository/index", {}, headers=headers)[0] == expected


@pytest.mark.parametrize("opened", [False, True])
def test_metrics_with_a_token(leaky_path, tmp_path, start, opened):
    (tmp_path / "token").write_text("s3cret\n", encoding="ascii")
    server = start(leaky_path, "--no-grpc", "--token-file", tmp_path / "token", *["--open-metrics"][: int(opened)])
    assert server.ask("GET", "/metrics")[0] == (200 if opened else 401)
    assert server.ask("GET", "/v2")[0] == 401


def test_tls(kit, leaky_path, tmp_path, start):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    server = start(leaky_path, "--no-grpc", "--tls-cert", cert, "--tls-key", key)
    context = ssl.create_default_context(cafile=cert)
    connection = http.client.HTTPSConnection("127.0.0.1", server.ports["http"], context=context, timeout=10)
    assert server.ask("GET", "/v2/health/live", connection=connection)[0] == 200
    connection.close()
    assert "https://" in server.process.stdout.readline()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 0


def test_a_taken_port_is_said_before_anything_is_loaded(leaky_path, start):
    server = start(leaky_path, "--no-grpc")
    port = str(server.ports["http"])
    command = [sys.executable, "-m", "rnnx", "serve", str(leaky_path), "--http-port", port, "--no-grpc"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"port {port} of '127.0.0.1' cannot be listened on: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
