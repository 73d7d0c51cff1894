"""Every other path: what it says, who may ask, and that the OpenAPI document is true."""

from __future__ import annotations

import json

import pytest

from rnnx.runtime.serving.http.openapi import document
from rnnx.runtime.serving.tracing import HEADERS

TOKEN = "s3cret"  # noqa: S105  (nobody's)


def client_of(kit, web, *paths, token="", options=None, **more):
    """Run ``ask(client, service)`` against a service of these bundles."""

    def decorate(ask):
        async def main():
            async with (
                kit.serving(*paths, **more) as service,
                web.talking(web.create_app(service, token=token, options=options)) as client,
            ):
                return await ask(client, service)

        return kit.run(main())

    return decorate


def test_what_a_server_and_its_models_say(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        paths = ["", "/models/leaky", "/models/leaky/versions/1", "/models/leaky/config", "/models/leaky.streaming"]
        paths += ["/models/leaky/stats", "/models/leaky/versions/1/stats", "/models/stats"]
        paths += ["/health/live", "/health/ready", "/models/leaky/ready", "/models/leaky/versions/1/ready"]
        await client.post(web.INFER, json=web.body(kit.frames(2)))
        answers = {path: await client.get(f"/v2{path}") for path in paths}
        assert {answer.status_code for answer in answers.values()} == {200}
        return {path: answer.json() for path, answer in answers.items()}

    assert found[""]["name"] == "rnnx"
    assert found["/models/leaky"] == found["/models/leaky/versions/1"]
    assert found["/models/leaky"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, -1, 3]}]
    assert [one["name"] for one in found["/models/leaky.streaming"]["inputs"]] == ["x", "sum"]
    assert found["/models/leaky/config"]["max_batch_size"] == 64
    assert found["/models/leaky/stats"]["model_stats"][0]["inference_stats"]["success"]["count"] == 1
    assert found["/models/stats"] == found["/models/leaky/stats"]
    assert (found["/health/live"], found["/health/ready"]) == ({"live": True}, {"ready": True})
    assert found["/models/leaky/ready"] == {"name": "leaky", "ready": True}


def test_health_of_a_server_that_closes_and_of_a_model_that_is_unloaded(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        await client.post("/v2/repository/models/leaky/unload", json={"parameters": {"unload_dependents": False}})
        answers = [await client.get("/v2/models/leaky/ready"), await client.get("/v2/models/nobody/ready")]
        answers.append(await client.get("/v2/models/leaky"))
        service.close_down("the server is going down")
        answers += [await client.get("/v2/health/ready"), await client.get("/v2/health/live")]
        return answers

    assert [answer.status_code for answer in found] == [503, 404, 503, 503, 200]
    assert found[0].json() == {"name": "leaky", "ready": False}
    assert found[2].headers["retry-after"] == "1"


def test_repository(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        async def post(path, content=b""):
            answer = await client.post(f"/v2/repository{path}", content=content)
            return answer.status_code, answer.json()

        both = ["leaky", "leaky.streaming"]
        assert [one["name"] for one in (await post("/index"))[1]] == both
        assert await post("/models/leaky/unload", b"{}") == (200, {})
        assert [one["state"] for one in (await post("/index", b"{}"))[1]] == ["UNAVAILABLE"]
        assert await post("/index", b'{"ready": true}') == (200, [])
        assert await post("/models/leaky/load", b"{}") == (200, {})
        assert [one["name"] for one in (await post("/index", b'{"ready": true}'))[1]] == both
        return [
            await post("/index", b'{"ready": 1}'),
            await post("/index", b"[]"),
            await post("/models/nobody/load"),
            await post("/models/leaky/load", b'{"parameters": {"config": "{}"}}'),
            await post("/models/leaky/load", b'{"parameters": {"speed": 1}}'),
            await post("/models/leaky/unload", b'{"parameters": {"unload_dependents": 1}}'),
            await post("/models/leaky/unload", b'{"parameters": 3}'),
            await post("/models/leaky/load", b" " * (65 << 10)),
        ]

    expected = [
        (400, "'ready' must be true or false; found 1"),
        (400, "the body must be an object, or nothing; found a list"),
        (404, "model 'nobody' is not known here"),
        (501, "parameter 'config' is not offered"),
        (400, "the parameter 'speed' is not known"),
        (400, "'unload_dependents' is not known or no boolean"),
        (400, "must be an object; found 3"),
        (413, "at most 65536 are allowed here"),
    ]
    assert [status for status, _ in found] == [status for status, _ in expected]
    for (_, answer), (_, message) in zip(found, expected, strict=True):
        assert message in answer["error"]


def test_methods_and_paths_that_are_none(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        return [
            await client.get(web.INFER),
            await client.delete(web.INFER),
            await client.post("/v2", json={}),
            await client.put("/v2/repository/index"),
            await client.get("/v2/models/leaky/stream"),
            await client.get("/v2/models"),
            await client.get("/v2/"),
            await client.post("/v2/models/leaky/infer/", json={}),
            await client.get("/v2/models/a%2Fb"),
        ]

    assert [one.status_code for one in found] == [405, 405, 405, 405, 426, 404, 404, 404, 404]
    assert [one.headers.get("allow") for one in found[:4]] == ["POST", "POST", "GET, HEAD", "POST"]
    assert "GET is not answered here; POST may be asked." in found[0].json()["error"]
    assert found[4].headers["upgrade"] == "websocket"


def test_head(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        paths = ("/", "/v2", "/v2/health/ready", "/v2/models/leaky", "/metrics", "/openapi.json")
        return [(await client.head(path)).status_code for path in paths]

    assert found == [200] * 6


def test_request_ids(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        async def ask(name):
            headers = {} if name is None else {"x-request-id": name}
            return (await client.get("/nothing", headers=headers)).headers["x-request-id"]

        return [await ask(name) for name in ("mine-1", None, "two words", "x" * 129)]

    assert found[0] == "mine-1"
    assert len(set(found)) == 4
    assert all(len(name) == 16 for name in found[1:])


def test_headers_are_handed_to_traces(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        seen = []
        service.tracing = type("On", (), {"on": True})()
        service.server_metadata = lambda: seen.append(HEADERS.get()) or {"name": "", "version": "", "extensions": []}
        await client.get("/v2", headers={"traceparent": "00-1-2-01"})
        return seen

    assert found[0]["traceparent"] == "00-1-2-01"


@pytest.mark.parametrize("opened", [False, True])
def test_a_bearer_token(kit, web, leaky_path, opened):
    options = web.HttpOptions(open_metrics=opened)

    @client_of(kit, web, leaky_path, token=TOKEN, options=options)
    async def found(client, service):
        async def ask(path, header=None):
            headers = {} if header is None else {"authorization": header}
            return await client.get(path, headers=headers)

        closed = [
            await ask("/v2", header) for header in (None, "", "s3cret", "Bearer s3cre", "Bearer s3cret2", "Basic x")
        ]
        assert {one.status_code for one in closed} == {401}
        assert {one.headers["www-authenticate"] for one in closed} == {"Bearer"}
        assert "a bearer token is needed" in closed[0].text
        assert "is not right" in closed[3].text
        assert [(await ask("/v2", one)).status_code for one in ("Bearer s3cret", "bearer s3cret")] == [200, 200]
        free = ("/", "/v2/health/live", "/v2/health/ready", "/v2/models/leaky/ready")
        assert [(await ask(path)).status_code for path in free] == [200] * 4
        assert (await ask("/metrics")).status_code == (200 if opened else 401)
        kept = [await ask(path) for path in ("/status", "/openapi.json", "/nothing")]
        kept += [await client.post(path, json={}) for path in (web.INFER, "/v2/repository/index", "/v2/health/live")]
        assert {one.status_code for one in kept} == {401}
        with pytest.raises(web.Closed, match="a bearer token is needed") as refused:
            await web.Socket(client._transport.app).accepted()
        headers = [("authorization", "Bearer s3cret")]
        socket = web.Socket(client._transport.app, headers=headers)
        await socket.accepted()
        await socket.leave()
        return refused.value.code

    assert found == 401


def test_pages_of_other_sites_change_nothing(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        other, own = {"origin": "https://evil.example"}, {"origin": "http://here"}
        unload = "/v2/repository/models/leaky/unload"
        answers = [
            await client.post(unload, headers=other),
            await client.post(web.INFER, json={}, headers={"origin": "null"}),
            await client.get("/v2", headers=other),
            await client.post("/v2/repository/index", headers=own),
        ]
        with pytest.raises(web.Closed, match="another site") as refused:
            await web.Socket(client._transport.app, headers=[("host", "here"), ("origin", "http://there")]).accepted()
        return [one.status_code for one in answers], refused.value.code, service.model_ready("leaky")

    assert found == ([403, 403, 200, 200], 403, True)


def test_metrics(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def answer(client, service):
        await client.post(web.INFER, json=web.body(kit.frames(2)))
        return await client.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'nv_inference_request_success{model="leaky",version="1"} 1.0' in answer.text.splitlines()


def test_the_document_describes_every_route_and_nothing_else(kit, web, leaky_path):
    @client_of(kit, web, leaky_path)
    async def found(client, service):
        answer = await client.get("/openapi.json")
        routes = client._transport.app._rest._router.routes
        there = {(route.path, method) for route in routes for method in getattr(route, "methods", None) or ()}
        return answer.json(), there

    told, there = found
    declared = {(path, method.upper()) for path, operations in told["paths"].items() for method in operations}
    assert declared == {(path, method) for path, method in there if method != "HEAD"}
    assert told["openapi"] == "3.1.0"
    names = set(json.dumps(told).split('"#/components/schemas/')[1:])
    assert {name.split('"')[0] for name in names} == set(told["components"]["schemas"])
    assert document() == told
