"""What a served model says of itself."""

from __future__ import annotations


def test_metadata_names_the_bundle_and_where_its_streams_are(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path) as service:
            told = service.model_metadata("leaky")
            sha256 = service.repository.find("leaky").model.bundle.sha256
            assert told["parameters"] == {
                "sha256": sha256,
                "variant": "fp32-offline",
                "provider": "cpu",
                "sequences": "true",
                "carried_states": "leaky.streaming",
            }
            assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, -1, 3]}]
            carried = service.model_metadata("leaky.streaming")
            assert [one["name"] for one in carried["inputs"] + carried["outputs"]] == ["x", "sum", "y", "sum_next"]
            assert carried["parameters"]["sequences"] == "false"
            assert service.server_metadata()["name"] == "rnnx"

    kit.run(main())


def test_the_configuration_says_how_it_is_served(kit, leaky_path):
    async def main():
        async with kit.serving(leaky_path, max_batch=8, max_delay_ms=1.5, max_queue=9) as service:
            told = service.model_config("leaky")
            assert told["max_batch_size"] == 8
            assert told["dynamic_batching"] == {
                "max_queue_delay_microseconds": 1500,
                "default_queue_policy": {"allow_timeout_override": True, "max_queue_size": 9},
            }
            assert told["default_model_filename"] == "fp32-offline.onnx"
            (state,) = [one for one in service.model_config("leaky.streaming")["input"] if one["name"] == "sum"]
            assert state["optional"]

    kit.run(main())
