"""The status page: one file, nothing from elsewhere, and what it shows in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest

from rnnx.runtime.serving.http.examples import example_of
from rnnx.runtime.serving.http.page import read_page
from rnnx.signature import AxisRange, Signature, parse_tensor

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def test_the_page_has_nothing_from_elsewhere_and_a_strict_policy(kit, web, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service, web.talking(web.create_app(service)) as client:
            return await client.get("/")

    answer = kit.run(main())
    text, policy = answer.text, answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"https?://|@import|url\(|\bstyle=|\bon[a-z]+=", text)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2
    assert answer.content == read_page()[0]


def test_status_shows_models_and_examples_that_they_answer(kit, web, leaky_path, tmp_path):
    alone = kit.write(tmp_path / "alone.rnnx", modes=("streaming",))
    pairs = kit.write(tmp_path / "pairs.rnnx", modes=("streaming",), chunks=kit.PAIRS)
    broken = kit.write(tmp_path / "broken.rnnx", proven_decay=0.1)

    async def main():
        paths = (leaky_path, alone, pairs, broken)
        async with kit.serving(*paths) as service, web.talking(web.create_app(service)) as client:
            status = (await client.get("/status")).json()
            models = {one["name"]: one for one in status["models"]}
            answers = {
                name: await client.post(f"/v2/models/{name}/infer", json=one["example"])
                for name, one in models.items()
                if one["example"]
            }
            again = (await client.get("/status")).json()
            return status, models, answers, {one["name"]: one for one in again["models"]}

    status, models, answers, again = kit.run(main())
    assert status["ready"] is False
    assert (models["broken"]["state"], models["broken"]["inputs"]) == ("UNAVAILABLE", [])
    assert "does not give its source's answers" in models["broken"]["reason"]
    assert sorted(answers) == ["alone", "alone.streaming", "leaky", "leaky.streaming", "pairs"]
    for name, answer in answers.items():
        assert answer.status_code == 200, answer.text
        x = np.array(models[name]["example"]["inputs"][0]["data"], np.float32).reshape(1, -1, 3)
        np.testing.assert_allclose(web.values(answer), kit.by_hand(x), atol=1e-5)
    assert models["leaky"]["inputs"] == ["x: float32[batch, time, 3]"]
    assert [one["answered"] for one in (models["leaky"], again["leaky"])] == [0, 1]
    assert sum(again["leaky"]["latency"]["counts"]) == 1


@pytest.mark.parametrize(
    ("declaration", "ranges", "shape", "data"),
    [
        ("x: float32[batch, time, 2]", (), [1, 3, 2], [0.0, 0.64, 0.99, 0.86, 0.33, -0.35]),
        ("x: int64[batch, time] >= 5 < 7", (), [1, 3], [5, 6, 5]),
        ("x: bool[time]", (), [3], [True, False, True]),
        ("x: int8[batch, time]", (AxisRange(name="time", maximum=2),), [1, 1], [0]),
        ("x: int8[batch, time]", (AxisRange(name="time", multiple_of=4),), [1, 4], [0, 1, 2, 3]),
        ("x: int8[batch, time]", (AxisRange(name="batch", minimum=2),), [2, 3], [0, 1, 2, 3, 4, 5]),
        ("x: float32[batch, time, 2000]", (), None, None),
    ],
)
def test_examples_are_in_the_ranges_of_the_signature(declaration, ranges, shape, data):
    signature = Signature(inputs=(parse_tensor(declaration),), ranges=ranges)
    variant = SimpleNamespace(chunks=None)
    running = SimpleNamespace(session=SimpleNamespace(signature=signature, variant=variant))
    face = SimpleNamespace(carried=False, model=SimpleNamespace(offline=running, streaming=None))
    found = example_of(face)
    if shape is None:
        assert found is None
    else:
        assert [found["inputs"][0][key] for key in ("shape", "data")] == [shape, data]


class Browser:
    """Chromium without a window, driven by its DevTools protocol."""

    def __init__(self, port, connect):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            (page,) = [one for one in json.load(answer) if one["type"] == "page"]
        self._socket = connect(page["webSocketDebuggerUrl"], max_size=None)
        self._number = 0
        self.complaints = []
        for domain in ("Page", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method, **given):
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": given}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("id") == self._number:
                return message["result"]
            if message.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}:
                self.complaints.append(message)

    def evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def close(self):
        self._socket.close()


@contextlib.contextmanager
def browser(folder):
    """A browser of its own profile."""
    client = pytest.importorskip("websockets.sync.client")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stderr.readline, "")
            port = next(found[1] for line in lines if (found := re.search(r"listening on ws://[^:]+:(\d+)/", line)))
            with contextlib.closing(
                Browser(port, lambda uri, **more: client.connect(uri, **more).__enter__())
            ) as found:
                yield found
        finally:
            process.terminate()
            process.communicate(timeout=20)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_in_a_browser(kit, web, leaky_path, tmp_path):
    def look(port):
        with browser(tmp_path / "profile") as page:

            def until(expression):
                for _ in range(100):
                    found = page.evaluate(expression)
                    if found:
                        return found
                    time.sleep(0.1)
                raise AssertionError(expression + ": " + str(page.evaluate("document.body.innerText")))

            page.call("Page.navigate", url=f"http://127.0.0.1:{port}/")
            until("document.querySelectorAll('section').length == 2")
            first = "document.querySelector('section')"
            names = page.evaluate("[...document.querySelectorAll('h2')].map((one) => one.textContent)")
            cells = page.evaluate(f"[...{first}.querySelectorAll('td')].map((one) => one.textContent)")
            page.evaluate(f"{first}.querySelector('details').open = true")
            page.evaluate(f"{first}.querySelector('button').click()")
            answer = until(f"!{first}.querySelector('pre').hidden && {first}.querySelector('pre').textContent")
            took = page.evaluate(f"{first}.querySelector('.took').textContent")
            until(f"{first}.querySelector('.totals').textContent == '1 answered'")
            drawn = until(f"{first}.querySelector('polyline').getAttribute('points')")
            page.evaluate(f"{first}.querySelector('textarea').value = '[]'")
            page.evaluate(f"{first}.querySelector('button').click()")
            wrong = until(f"{first}.querySelector('pre.bad') && {first}.querySelector('pre').textContent")
            quiet = [one for one in page.complaints if "400 (Bad Request)" not in json.dumps(one)]
            return names, cells, answer, took, drawn, wrong, quiet

    async def main():
        async with kit.serving(leaky_path) as service, web.listening(service) as port:
            return await asyncio.to_thread(look, port)

    names, cells, answer, took, drawn, wrong, complaints = kit.run(main())
    assert names == ["leaky", "leaky.streaming"]
    assert cells == ["in", "x", "float32", "batch, time, 3", "out", "y", "float32", "batch, time, 3"]
    assert json.loads(answer)["shape"] == [1, 3, 3]
    assert re.fullmatch(r"200 in [\d.]+ m?s", took)
    assert len(drawn.split()) >= 1
    assert "must be an object with 'inputs'; found a list" in wrong
    assert complaints == []  # nothing was refused by the policy, nothing failed
