"""A replica without Ray: the server's own app, and what it does otherwise."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager

import numpy as np
import pytest

from rnnx.errors import ModelUnavailableError, ServerError
from rnnx.runtime.deploy.ray.settings import RaySettings

pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")

from rnnx.runtime.deploy.ray.replica import Replica  # noqa: E402


async def make(**settings):
    return await Replica.open(RaySettings(provider="cpu", **settings), key=bytes(32), name="replica-1")


@asynccontextmanager
async def served(path, **settings):
    replica = await make(bundles={"summing": str(path)}, **settings)
    app = replica.app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://replica") as client:
        try:
            yield replica, client
        finally:
            await replica.close()


def body(x, sequence=None, **flags):
    made = {"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}]}
    return made if sequence is None else made | {"parameters": {"sequence_id": sequence, **flags}}


X = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
PATH = "/v2/models/summing/infer"


def test_it_answers_and_says_who_it_is(summing_path):
    async def go():
        async with served(summing_path, replicas=2) as (replica, client):
            answer = await client.post(PATH, json=body(X))
            assert answer.status_code == 200
            np.testing.assert_array_equal(answer.json()["outputs"][0]["data"], X.cumsum(1).ravel())
            assert answer.headers["x-rnnx-replica"] == "replica-1"
            replica.check_health()

    asyncio.run(go())


@pytest.mark.parametrize("sequence", [7, "seven"])
def test_a_sequence_needs_its_header(summing_path, sequence):
    async def go():
        async with served(summing_path, replicas=2) as (_, client):
            first = body(X, sequence, sequence_start=True)
            refused = await client.post(PATH, json=first)
            assert refused.status_code == 400
            assert "its header 'x-session-id' is missing" in refused.json()["error"]
            other = await client.post(PATH, json=first, headers={"x-session-id": "8"})
            assert other.status_code == 400
            assert "its header 'x-session-id' is '8'" in other.json()["error"]
            # Ray takes either form.
            for name in ("x-session-id", "X_Session_Id"):
                answer = await client.post(PATH, json=first, headers={name: str(sequence)})
                assert answer.status_code == 200, answer.text
                first = body(X, sequence)
            assert answer.json()["outputs"][0]["data"][-1] == X.sum(1)[0, 2] * 2

    asyncio.run(go())


def test_requests_side_by_side_keep_their_own_sessions(summing_path):
    async def go():
        async with served(summing_path, replicas=2) as (_, client):
            answers = await asyncio.gather(
                *(
                    client.post(
                        PATH,
                        json=body(X, number, sequence_start=True),
                        headers={"x-session-id": str(number)} if number % 2 else {},
                    )
                    for number in range(1, 31)
                )
            )
            assert [one.status_code for one in answers] == [200, 400] * 15

    asyncio.run(go())


def test_one_replica_needs_no_header(summing_path):
    async def go():
        async with served(summing_path) as (_, client):
            assert (await client.post(PATH, json=body(X, 7, sequence_start=True))).status_code == 200

    asyncio.run(go())


def test_models_are_not_changed_in_one_replica_of_several(summing_path):
    async def go():
        async with served(summing_path, replicas=2) as (_, client):
            for what in ("load", "unload"):
                answer = await client.post(f"/v2/repository/models/summing/{what}", json={})
                assert answer.status_code == 501
                assert f"models are not {what}ed here" in answer.json()["error"]

    asyncio.run(go())


def test_the_token_is_asked_for(summing_path, tmp_path):
    (tmp_path / "token").write_text("secret\n")

    async def go():
        async with served(summing_path, token_file=str(tmp_path / "token")) as (_, client):
            assert (await client.post(PATH, json=body(X))).status_code == 401
            headers = {"authorization": "Bearer secret"}
            assert (await client.post(PATH, json=body(X), headers=headers)).status_code == 200

    asyncio.run(go())


@pytest.mark.parametrize(("content", "message"), [("", "must hold one token"), ("a b", "must hold one token")])
def test_a_token_that_is_none(summing_path, tmp_path, content, message):
    (tmp_path / "token").write_text(content)
    with pytest.raises(ServerError, match=message):
        asyncio.run(make(bundles={"summing": str(summing_path)}, token_file=str(tmp_path / "token")))
    with pytest.raises(ServerError, match="cannot be read: No such file"):
        asyncio.run(make(bundles={"summing": str(summing_path)}, token_key_file=str(tmp_path / "none")))


def test_streams_end_with_the_replica_and_it_is_unhealthy_then(summing_path):
    async def go():
        async with served(summing_path, replicas=2) as (replica, client):
            answer = await client.post(PATH, json=body(X, 7, sequence_start=True), headers={"x-session-id": "7"})
            assert answer.status_code == 200
            await replica.close()
            with pytest.raises(ModelUnavailableError, match="cannot all be used"):
                replica.check_health()

    asyncio.run(go())


def test_a_bundle_that_was_altered_is_not_served(summing_path, tmp_path):
    copy = shutil.copytree(summing_path, tmp_path / "summing.rnnx")
    model = copy / "fp32-offline.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelUnavailableError, match="cannot serve 'summing': "):
        asyncio.run(make(bundles={"summing": str(copy)}))


def test_the_life_of_the_app_is_the_replicas(summing_path):
    async def go():
        async with served(summing_path) as (replica, _):
            app, said = replica.app(), []
            coming = iter(["lifespan.startup", "lifespan.shutdown"])

            async def receive():
                return {"type": next(coming)}

            async def send(message):
                said.append(message["type"])

            await app({"type": "lifespan"}, receive, send)
            assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    asyncio.run(go())
