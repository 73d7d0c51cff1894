"""Models by name: proven before they are ready, replaced without a failed request."""

from __future__ import annotations

import asyncio
import shutil

import numpy as np
import pytest

from rnnx.errors import (
    BundleError,
    InputError,
    ModelNotFoundError,
    ModelUnavailableError,
    ServerError,
    StreamExistsError,
    StreamNotFoundError,
    TuningError,
)
from rnnx.runtime.serving.model import ModelOptions, ServedModel
from rnnx.runtime.serving.repository import Repository, check_name


def states(service):
    return {one["name"]: (one["state"], one["reason"]) for one in service.repository_index()}


def answers(kit, x, decay):
    return lambda response: np.allclose(response.outputs["y"], kit.by_hand(x, decay), atol=1e-5)


def test_an_altered_bundle_is_never_ready(kit, leaky_path, tmp_path):
    path = tmp_path / "bad.rnnx"
    shutil.copytree(leaky_path, path)
    with (path / "fp32-streaming.onnx").open("r+b") as file:
        file.seek(20)
        file.write(b"\xff")

    async def main():
        async with kit.serving(leaky_path, path) as service:
            state, reason = states(service)["bad"]
            assert state == "UNAVAILABLE"
            assert "fp32-streaming.onnx' has SHA-256" in reason
            assert not service.ready()
            assert not service.model_ready("bad")
            assert service.model_ready("leaky")
            with pytest.raises(ModelUnavailableError, match=r"model 'bad' is UNAVAILABLE: .*SHA-256"):
                await service.infer(kit.request(kit.frames(1), model="bad"))
            with pytest.raises(BundleError):
                await service.load("bad")
            assert service.repository_index(ready=True)[0]["name"] == "leaky"

    kit.run(main())


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (
            {"proven_decay": 0.4},
            "does not give its source's answers on cpu: output 'y' of golden case 0: it differs by",
        ),
        ({"golden": False}, "golden.npz"),
        ({"proven_decay": 0.4, "modes": ("streaming",)}, "variant 'fp32-streaming' of .* does not give"),
    ],
)
def test_a_bundle_that_is_not_proven_is_never_ready(kit, tmp_path, wrong, reason):
    path = kit.write(tmp_path / "bad.rnnx", **wrong)
    with pytest.raises((ModelUnavailableError, BundleError), match=reason):
        ServedModel.load("bad", path, ModelOptions(provider="cpu"))


def test_golden_vectors_of_its_own_are_what_a_variant_is_held_to(kit, leaky_path, tmp_path):
    right = (leaky_path / "golden.npz").read_bytes()
    wrong = (kit.write(tmp_path / "other.rnnx", decay=0.4) / "golden.npz").read_bytes()
    path = kit.write(tmp_path / "good.rnnx", proven_decay=0.4, own="own.npz", extra={"own.npz": right})
    ServedModel.load("good", path, ModelOptions(provider="cpu")).close()
    path = kit.write(tmp_path / "bad.rnnx", own="own.npz", extra={"own.npz": wrong})
    with pytest.raises(
        ModelUnavailableError, match="does not give the proven answers on cpu: output 'y' of golden case 0"
    ):
        ServedModel.load("bad", path, ModelOptions(provider="cpu"))


def test_a_file_that_no_session_reads_is_hashed_too(kit, tmp_path):
    path = kit.write(tmp_path / "bad.rnnx", extra={"report.txt": b"fine"})
    (path / "report.txt").write_bytes(b"bad!")
    with pytest.raises(BundleError, match=r"report\.txt' has SHA-256"):
        ServedModel.load("bad", path, ModelOptions(provider="cpu"))


def test_a_precision_that_is_not_there(leaky_path):
    with pytest.raises(LookupError, match="has no variant of precision 'int8'; it has 'fp32-offline'"):
        ServedModel.load("leaky", leaky_path, ModelOptions(provider="cpu", precision="int8"))


def test_a_bundle_that_was_not_tuned(leaky_path):
    with pytest.raises(TuningError):
        ServedModel.load("leaky", leaky_path, ModelOptions(provider="cpu", tuned=True))


def test_a_library_that_fails_does_not_end_the_server(kit, leaky_path):
    def broken(*_):
        raise RuntimeError("out of luck")

    async def main():
        options = {"loader": broken}
        async with kit.serving(leaky_path, repository_options=options) as service:
            assert states(service)["leaky"] == ("UNAVAILABLE", "out of luck")
            with pytest.raises(ModelUnavailableError, match="cannot be loaded: RuntimeError: out of luck"):
                await service.load("leaky")

    kit.run(main())


def test_load_and_unload_by_name(kit, leaky_path, tmp_path):
    kit.write(tmp_path / "later.rnnx", decay=0.25)
    (tmp_path / "notes").mkdir()
    x = kit.frames(3)

    async def main():
        async with kit.serving(leaky_path, folder=tmp_path) as service:
            assert service.ready()
            assert states(service)["later"] == ("UNAVAILABLE", "not loaded")
            assert "notes" not in states(service)
            with pytest.raises(ModelUnavailableError, match="model 'later' is UNAVAILABLE: not loaded"):
                await service.infer(kit.request(x, model="later"))
            await service.load("later")
            assert states(service)["later.streaming"] == ("READY", "")
            assert answers(kit, x, 0.25)(await service.infer(kit.request(x, model="later")))
            await service.unload("later")
            assert states(service)["later"] == ("UNAVAILABLE", "unloaded")
            with pytest.raises(InputError, match="model 'later' is not loaded"):
                await service.unload("later")
            kit.write(tmp_path / "new.rnnx")  # after the start
            await service.load("new")
            assert service.model_ready("new")

    kit.run(main())


@pytest.mark.parametrize("name", ["../leaky", "/etc", "leaky.rnnx", "", ".", "leaky/../leaky", "leaky.streaming"])
def test_a_request_cannot_name_a_path(kit, leaky_path, name):
    async def main():
        async with kit.serving(folder=leaky_path.parent) as service:
            for act in (service.load, service.unload):
                with pytest.raises(ModelNotFoundError, match="is not known here"):
                    await act(name)

    kit.run(main())


@pytest.mark.parametrize("name", ["", "a/b", "a b", "ä", "..", "a.streaming", "a" * 129])
def test_names_that_models_cannot_have(name):
    with pytest.raises(ServerError, match="cannot be a model's name"):
        check_name(name)


def test_hot_reload_under_load_fails_no_request(kit, tmp_path):
    path = kit.write(tmp_path / "leaky.rnnx", decay=0.5)
    x = kit.frames(4)

    async def main():
        async with kit.serving(path) as service:
            found, going = [], [True]

            async def ask():
                while going[0]:
                    response = await service.infer(kit.request(x))
                    found.append([answers(kit, x, decay)(response) for decay in (0.5, 0.25)])

            asking = [asyncio.create_task(ask()) for _ in range(4)]
            await asyncio.sleep(0.05)
            kit.write(path, decay=0.25, overwrite=True)
            before = service.repository.find("leaky").model
            await service.repository.reload_changed()  # it may be copied still
            assert service.repository.find("leaky").model is before
            await service.repository.reload_changed()
            await asyncio.sleep(0.05)
            await service.tend()
            going[0] = False
            await asyncio.gather(*asking)
            # Each answer is the old bundle's or the new one's, and never the old one's behind the new one's (each of
            # the four may have asked before).
            assert all(old != new for old, new in found)
            assert found[0] == [True, False]
            assert found[-1] == [False, True]
            assert service.repository.retiring("leaky") == []
            # Copied over itself, it is not loaded again.
            model = service.repository.find("leaky").model
            (path / "manifest.json").touch()
            for _ in range(3):
                await service.repository.reload_changed()
            assert service.repository.find("leaky").model is model

    kit.run(main())


def test_streams_go_on_in_the_bundle_that_they_began_in(kit, tmp_path):
    path = kit.write(tmp_path / "leaky.rnnx", decay=0.5)
    x = kit.frames(4)

    async def main():
        async with kit.serving(path) as service:
            await service.infer(kit.request(x[:, :2], sequence=(1, "start")))
            handle = service.stream_session("leaky")
            await handle.push({"x": x[:, :2]})
            token = handle.token()
            kit.write(path, decay=0.25, overwrite=True)
            await service.load("leaky")
            await service.tend()
            assert len(service.repository.retiring("leaky")) == 1
            with pytest.raises(StreamExistsError, match="open still, in the bundle that was replaced"):
                await service.infer(kit.request(x, sequence=(1, "start")))
            new = await service.infer(kit.request(x, sequence=(2, "start", "end")))
            assert answers(kit, x, 0.25)(new)
            again = service.stream_session("leaky", token=token)  # of the bundle that is going
            for rest in (
                (await service.infer(kit.request(x[:, 2:], sequence=(1, "end")))).outputs["y"],
                (await handle.finish({"x": x[:, 2:]}))["y"],
                (await again.finish({"x": x[:, 2:]}))["y"],
            ):
                np.testing.assert_allclose(rest, kit.by_hand(x, 0.5)[:, 2:], atol=1e-5)
            await service.tend()
            assert service.repository.retiring("leaky") == []

    kit.run(main())


def test_streams_of_a_replaced_bundle_end_after_the_grace_time(kit, tmp_path):
    path = kit.write(tmp_path / "leaky.rnnx", decay=0.5)

    async def main():
        async with kit.serving(path, repository_options={"stream_grace_s": 0.0}) as service:
            await service.infer(kit.request(kit.frames(1), sequence=(1, "start")))
            handle = service.stream_session("leaky")
            await handle.push({"x": kit.frames(1)})
            await service.load("leaky")
            await service.tend()
            assert service.repository.retiring("leaky") == []
            assert "was replaced" in await handle.wait_ended()
            with pytest.raises(StreamNotFoundError):
                await service.infer(kit.request(kit.frames(1), sequence=(1,)))

    kit.run(main())


def test_a_broken_new_bundle_leaves_the_old_one_serving(kit, tmp_path):
    path = kit.write(tmp_path / "leaky.rnnx", decay=0.5)
    x = kit.frames(3)

    async def main():
        async with kit.serving(path) as service:
            kit.write(path, decay=0.25, proven_decay=0.5, overwrite=True)
            for _ in range(3):
                await service.repository.reload_changed()
            state, reason = states(service)["leaky"]
            assert state == "READY"
            assert "the new bundle was refused: variant 'fp32-offline'" in reason
            assert answers(kit, x, 0.5)(await service.infer(kit.request(x)))
            assert service.metrics.of("leaky").reload_failures == 1  # it was not tried again and again
            kit.write(path, decay=0.25, overwrite=True)
            for _ in range(2):
                await service.repository.reload_changed()
            assert states(service)["leaky"] == ("READY", "")
            assert answers(kit, x, 0.25)(await service.infer(kit.request(x)))

    kit.run(main())


def test_unloading_lets_requests_under_way_end(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path, repository_options={"stream_grace_s": 0.0}) as service:
            under_way = asyncio.create_task(service.infer(kit.request(kit.frames(200_000))))
            await asyncio.sleep(0.005)
            await service.unload("leaky")
            assert states(service)["leaky"][0] == "UNLOADING"
            assert (await under_way).outputs["y"].shape == (1, 200_000, 3)
            await service.tend()
            assert states(service)["leaky"] == ("UNAVAILABLE", "unloaded")

    kit.run(main())


def test_draining_waits_for_requests(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service:
            under_way = asyncio.create_task(service.infer(kit.request(kit.frames(200_000))))
            await asyncio.sleep(0.005)
            assert not await service.repository.drain(0.01)
            assert await service.repository.drain(10.0)
            assert under_way.done() or (await under_way)

    kit.run(main())


def test_a_name_that_no_model_can_have_is_refused_at_once(tmp_path):
    with pytest.raises(ServerError):
        Repository({"a b": tmp_path})
