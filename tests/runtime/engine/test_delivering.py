"""Answers on their way to those who wait."""

from __future__ import annotations

import asyncio

import pytest

from rnnx.errors import DeadlineError
from rnnx.runtime.engine.delivering import deliver, give_up
from rnnx.runtime.engine.request import Answer, Place, Request


def waiting(loop):
    request = Request(feed={}, names=(), place=Place(rows=1, key=None))
    request.loop = loop
    future = request.future = loop.create_future()
    return request, future


def test_a_large_batch_leaves_the_loop_room_for_others():
    async def main():
        loop = asyncio.get_running_loop()
        both = [waiting(loop) for _ in range(40)]
        answers = [Answer(outputs={}, queue_ns=number, run_ns=0, batch=40) for number in range(40)]
        both[3][1].cancel()  # somebody left
        deliver([(request, answer) for (request, _), answer in zip(both, answers, strict=True)])
        done = []
        while not all(future.done() for _, future in both):
            await asyncio.sleep(0)
            done.append(sum(future.done() for _, future in both))
        assert done[-3:] == [16, 32, 40]
        for number, (request, future) in enumerate(both):
            if number != 3:
                assert future.result() is answers[number]
                assert request.feed == {}

    asyncio.run(main())


def test_an_answer_is_given_up_once():
    async def main():
        loop = asyncio.get_running_loop()
        future, answered = loop.create_future(), loop.create_future()
        answered.set_result(1)
        for one in (future, future, answered):
            give_up(one, 0.25)
        with pytest.raises(DeadlineError, match=r"no answer came within 0\.25 s, and none is waited for"):
            await future
        assert await answered == 1

    asyncio.run(main())
