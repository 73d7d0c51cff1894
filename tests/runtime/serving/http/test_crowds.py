"""Requests that find a full queue: turned away unread and in order, counted, on a connection that goes on."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import numpy as np
import pytest

#: Steps of a sequence that takes long enough for something else to happen meanwhile.
LONG = 200_000
HEALTH = b"GET /v2/health/live HTTP/1.1\r\nhost: here\r\n\r\n"


@asynccontextmanager
async def crowded(kit, web, path, *, pause_s=0.02, token=""):
    """A server whose model runs one long request while another fills its queue; gives its port and the service."""
    options = web.HttpOptions(refusal_pause_s=pause_s)
    async with (
        kit.serving(path, max_queue=1) as service,
        web.listening(service, options=options, token=token) as port,
        asyncio.TaskGroup() as group,
    ):
        assert not service.crowded("leaky")
        group.create_task(service.infer(kit.request(kit.frames(LONG))))
        engine = service.repository.find("leaky").model.offline.engine
        while not engine.statistics().running:  # noqa: ASYNC110  (the engine tells nobody)
            await asyncio.sleep(0)
        group.create_task(service.infer(kit.request(kit.frames(1))))
        await asyncio.sleep(0)
        assert service.crowded("leaky")
        # From here on whatever the engine does: a test that waits for a slow machine would find it idle.
        service.crowded = lambda name, version="": (name, version) == ("leaky", "")
        yield port, service


def asked(web, value, *, headers="", more=None):
    """A request with one float32 tensor behind its JSON."""
    raw = np.asarray(value, np.float32)
    entry = {"name": "x", "datatype": "FP32", "shape": list(raw.shape), "parameters": {"binary_data_size": raw.nbytes}}
    text = json.dumps({"inputs": [entry], **(more or {})}).encode()
    head = f"POST {web.INFER} HTTP/1.1\r\nhost: here\r\n{web.LENGTH}: {len(text)}\r\n{headers}"
    return f"{head}content-length: {len(text) + raw.nbytes}\r\n\r\n".encode() + text + raw.tobytes()


async def answer(reader):
    """Status, headers and body of the next answer."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
    lines = head.strip().split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), named, await reader.readexactly(int(named["content-length"]))


def test_it_is_told_to_come_again_and_counted(kit, web, leaky_path):
    async def main():
        async with crowded(kit, web, leaky_path) as (port, service):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asked(web, kit.frames(3), headers="x-request-id: mine\r\n"))
            status, headers, body = await answer(reader)
            assert (status, headers["retry-after"], headers["x-request-id"]) == (503, "1", "mine")
            assert headers["content-type"] == "application/json"
            assert json.loads(body) == {"error": "1 requests wait, and 1 may. Try again later, or ask less often."}
            counts = service.metrics.of("leaky")
            assert (counts.refusals, counts.reasons) == (1, {"REJECTED": 1})
            # The connection is as good as new: other paths are answered, and then the model.
            writer.write(HEALTH)
            assert (await answer(reader))[0] == 200
            del service.crowded
            while service.crowded("leaky"):  # noqa: ASYNC110  (the engine tells nobody)
                await asyncio.sleep(0.01)
            x = kit.frames(3)
            writer.write(asked(web, x, more={"parameters": {"binary_data_output": True}}))
            status, headers, body = await answer(reader)
            found = np.frombuffer(body, np.float32, offset=int(headers[web.LENGTH.lower()]))
            assert status == 200
            np.testing.assert_allclose(found, kit.by_hand(x).ravel(), atol=1e-5)
            writer.close()

    kit.run(main())


def test_requests_of_one_connection_are_refused_in_their_order(kit, web, leaky_path):
    async def main():
        async with crowded(kit, web, leaky_path) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            two = [asked(web, kit.frames(2), headers=f"x-request-id: n{number}\r\n") for number in range(2)]
            writer.write(b"".join([*two, HEALTH]))
            found = [await answer(reader) for _ in range(3)]
            assert [(status, headers["x-request-id"]) for status, headers, _ in found[:2]] == [(503, "n0"), (503, "n1")]
            assert found[2][0] == 200
            writer.close()

    kit.run(main())


@pytest.mark.parametrize("ending", ["connection: close\r\n", "late"])
def test_the_last_of_a_connection(kit, web, leaky_path, ending):
    async def main():
        async with crowded(kit, web, leaky_path) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = asked(web, kit.frames(900), headers="" if ending == "late" else ending)
            if ending == "late":  # its body comes in parts
                writer.write(whole[:1000])
                await asyncio.sleep(0.05)
                writer.write(whole[1000:])
                assert (await answer(reader))[0] == 503
            else:
                writer.write(whole)
                status, headers, _ = await answer(reader)
                assert (status, headers["connection"]) == (503, "close")
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    kit.run(main())


def test_what_is_of_a_sequence_has_a_queue_of_its_own(kit, web, leaky_path):
    async def main():
        async with crowded(kit, web, leaky_path) as (port, service):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            parameters = {"parameters": {"sequence_id": 7, "sequence_start": True, "sequence_end": True}}
            writer.write(asked(web, kit.frames(3), more=parameters))
            assert (await answer(reader))[0] == 200
            assert service.metrics.of("leaky").refusals == 0
            writer.close()

    kit.run(main())


@pytest.mark.parametrize("headers", ["content-encoding: gzip\r\n", "expect: 100-continue\r\n"])
def test_what_cannot_be_judged_by_its_head_goes_the_long_way(kit, web, leaky_path, headers):
    async def main():
        async with crowded(kit, web, leaky_path, pause_s=100.0) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asked(web, kit.frames(3), headers=headers))
            # Refused by those who read it: a refusal at the door would come after 100 s.
            assert (await asyncio.wait_for(reader.readline(), 10)).split()[1] in {b"100", b"400", b"503"}
            writer.close()

    kit.run(main())


def test_a_refusal_is_held_back(kit, web, leaky_path):
    async def main():
        async with crowded(kit, web, leaky_path, pause_s=0.3) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asked(web, kit.frames(3)))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(1), 0.1)
            assert (await asyncio.wait_for(reader.readline(), 10)).split()[1] == b"503"
            writer.close()

    kit.run(main())


@pytest.fixture
def parsed(monkeypatch):
    """How many requests were judged by a parser."""
    from rnnx.runtime.serving.http.crowds import TurningAway

    counted = []
    judge = TurningAway._crowded_model

    def judged(connection):
        counted.append(connection.url)
        return judge(connection)

    monkeypatch.setattr(TurningAway, "_crowded_model", judged)
    return counted


def test_a_head_that_was_refused_before_is_not_parsed_again(kit, web, leaky_path, parsed):
    async def main():
        async with crowded(kit, web, leaky_path) as (port, service):
            names = set()
            x = kit.frames(3)
            whole = asked(web, x, more={"parameters": {"binary_data_output": True}})
            for _ in range(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for _ in range(3):
                    writer.write(whole)
                    status, headers, body = await answer(reader)
                    names.add(headers["x-request-id"])
                    assert (status, headers["retry-after"]) == (503, "1")
                    assert "1 requests wait" in json.loads(body)["error"]
                writer.close()
            assert len(parsed) == 1
            assert len(names) == 6
            assert service.metrics.of("leaky").refusals == 6
            # Two at once, and one in parts, are the parser's; all are refused, in their order.
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(whole + whole + HEALTH)
            assert [(await answer(reader))[0] for _ in range(3)] == [503, 503, 200]
            writer.write(whole[:-5])
            await asyncio.sleep(0.05)
            writer.write(whole[-5:])
            assert (await answer(reader))[0] == 503
            assert len(parsed) == 5
            # The same connection, once there is a place.
            del service.crowded
            while service.crowded("leaky"):  # noqa: ASYNC110  (the engine tells nobody)
                await asyncio.sleep(0.01)
            writer.write(whole)
            status, headers, body = await answer(reader)
            found = np.frombuffer(body, np.float32, offset=int(headers[web.LENGTH.lower()]))
            assert status == 200
            np.testing.assert_allclose(found, kit.by_hand(x).ravel(), atol=1e-5)
            writer.close()

    kit.run(main())


def test_a_sequence_behind_a_known_head_is_answered(kit, web, leaky_path, parsed):
    async def main():
        async with crowded(kit, web, leaky_path) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for name, expected in (("sequence_no", 503), ("sequence_no", 503), ("sequence_id", 200)):
                more = {"parameters": {name: 7, "sequence_start": True, "sequence_end": True}}
                writer.write(asked(web, kit.frames(3), more=more))
                assert (await answer(reader))[0] == expected
            assert len(parsed) == 2  # the second was not
            writer.close()

    kit.run(main())


def test_heads_with_a_name_of_their_own_are_not_remembered(kit, web, leaky_path, parsed):
    async def main():
        async with crowded(kit, web, leaky_path) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(asked(web, kit.frames(3), headers="x-request-id: mine\r\n"))
                status, headers, _ = await answer(reader)
                assert (status, headers["x-request-id"]) == (503, "mine")
            assert len(parsed) == 2
            writer.close()

    kit.run(main())


def test_who_bears_no_token_is_told_that_and_not_that_it_is_crowded(kit, web, leaky_path):
    async def main():
        async with crowded(kit, web, leaky_path, token="secret") as (port, service):  # noqa: S106  (a test's)
            for header, expected in (
                ("", 401),
                ("authorization: Bearer secret\r\n", 503),
                ("authorization: Bearer secret\r\n", 503),
                ("authorization: Bearer secrex\r\n", 401),
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(asked(web, kit.frames(3), headers=header))
                assert (await answer(reader))[0] == expected
                writer.close()
            assert service.metrics.of("leaky").refusals == 2

    kit.run(main())


def test_requests_that_are_read_at_once_do_not_all_find_the_same_place(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path, max_queue=2) as service:
            service.expect("nobody")  # of whom asking tells
            for _ in range(2):
                assert not service.crowded("leaky")
                service.expect("leaky")
            assert service.crowded("leaky")
            assert not service.crowded("leaky.streaming")
            await asyncio.sleep(0)
            assert not service.crowded("leaky")

    kit.run(main())


def test_a_busy_server_holds_refusals_back_for_less():
    from rnnx.runtime.serving.http.crowds import Turned

    turned = Turned(0.02)
    turned.was_late(-0.001)  # by rounding
    assert turned.pause_s == 0.02
    turned.was_late(0.004)
    assert turned.pause_s == pytest.approx(0.012)
    turned.was_late(1.0)
    assert turned.pause_s == 0.005
    for _ in range(2000):
        turned.was_late(0.0)
    assert turned.pause_s == pytest.approx(0.02, rel=0.01)
