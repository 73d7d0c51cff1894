"""The end of a server under load over gRPC, as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

grpc = pytest.importorskip("grpc")
pytest.importorskip("grpc_health")

from rnnx.runtime.serving.protocol.proto import inference_pb2 as pb  # noqa: E402
from rnnx.runtime.serving.protocol.proto import inference_pb2_grpc  # noqa: E402


@pytest.fixture
def server(leaky_path, tmp_path):
    """A process that serves gRPC only, and its port."""
    ports = tmp_path / "ports.json"
    command = [sys.executable, "-m", "rnnx", "serve", str(leaky_path), "--no-http", "--grpc-port", "0"]
    command += ["--provider", "cpu", "--ports-file", str(ports), "--log-format", "json", "--log-level", "debug"]
    with (tmp_path / "log.jsonl").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            until = time.monotonic() + 30
            while not ports.exists():
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
            yield process, json.loads(ports.read_text(encoding="utf-8"))["grpc"], log
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)


def asked(x, **parameters):
    message = pb.ModelInferRequest(model_name="leaky", raw_input_contents=[x.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=x.shape)
    for name, value in parameters.items():
        kind = "bool_param" if isinstance(value, bool) else "int64_param"
        setattr(message.parameters[name], kind, value)
    return message


def test_sigterm_under_load_answers_all_that_was_accepted(kit, server):
    process, port, log = server
    x, answers, refused, wrong = kit.frames(200), [], [], []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        until = time.monotonic() + 30
        while not stub.ServerReady(pb.ServerReadyRequest()).ready:
            assert time.monotonic() < until
            time.sleep(0.02)

        def ask(number):
            first = True
            while True:
                try:
                    message = asked(x, sequence_id=number, sequence_start=first) if number % 2 else asked(x)
                    answers.append(stub.ModelInfer(message, timeout=10))
                except grpc.RpcError as error:
                    # A stream may be told that it was ended; then, or else, that nothing is begun any more.
                    if error.code() is grpc.StatusCode.NOT_FOUND and "going down" in error.details():
                        continue
                    (refused if error.code() is grpc.StatusCode.UNAVAILABLE else wrong).append(error)
                    return
                first = False

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert time.monotonic() - begun < 10
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(refused) == 4
    assert len(answers) > 20
    log.seek(0)
    lines = [json.loads(line) for line in log]
    assert len(answers) == sum(one["event"] == "request" and one["status"] == "ok" for one in lines)
    (found,) = [answer for answer in answers if answer.raw_output_contents and not answer.parameters][:1]
    y = np.frombuffer(found.raw_output_contents[0], np.float32).reshape(x.shape)
    np.testing.assert_allclose(y, kit.by_hand(x), atol=1e-4)
