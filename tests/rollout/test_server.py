"""The real server actor: Ray, vLLM's processes, and the death of one of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl.plugin.platform import get_platform
from verl.workers.config import RolloutConfig
from verl.workers.rollout.replica import RolloutMode

from care_verl.rollout.server import CareVLLMServer
from care_verl.rollout.watchdog import RolloutDiedError, RolloutWatchdog

pytestmark = pytest.mark.slow

THINK = "think"


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=True)
    yield
    ray.shutdown()


class WatchedServer(CareVLLMServer):
    """The server, with a look at what it and its engine still have to do."""

    async def engine_has_work(self) -> bool:
        return bool(await self.engine.engine_core.call_utility_async("has_work"))

    async def has_requests(self) -> bool:
        """Whether this process, not the engine's, waits for a request."""
        return bool(self.engine.output_processor.has_unfinished_requests())


def start_server(folder: Path, custom: dict[str, Any] | None) -> Any:
    config = RolloutConfig(
        name="vllm",
        tensor_model_parallel_size=1,
        n_gpus_per_node=1,
        dtype="float32",
        load_format="auto",
        prompt_length=64,
        response_length=64,
        max_model_len=128,
        max_num_batched_tokens=128,
        max_num_seqs=8,
        enforce_eager=True,
        free_cache_engine=False,
        enable_sleep_mode=False,
        custom=custom,
    )
    server = (
        ray.remote(WatchedServer)
        .options(max_concurrency=64, runtime_env={"env_vars": get_platform().rollout_env_vars()})
        .remote(
            config=config,
            model_config=OmegaConf.create({"path": str(folder)}),
            rollout_mode=RolloutMode.STANDALONE,
            workers=[],
            replica_rank=0,
            node_rank=0,
            gpus_per_node=1,
            nnodes=1,
            cuda_visible_devices="",
        )
    )
    ray.get(server.launch_server.remote())
    return server


@ray.remote
class Bystander:
    """A worker of the trainer that waits in a call which nothing interrupts."""

    def wait_for_ever(self) -> None:
        while True:
            time.sleep(3600)


def generate(server: Any, tokenizer: Any, harvest: object, **sampling: Any) -> Any:
    bias = {int(tokenizer.convert_tokens_to_ids(tag)): 4.0 for tag in ("<think>", "</think>")}
    return server.generate.remote(
        prompt_ids=tokenizer.encode("red plus blue?"),
        sampling_params={"care_harvest": harvest, "logprobs": True, "logit_bias": bias, **sampling},
        request_id=os.urandom(8).hex(),
    )


def engine_process(server: Any) -> psutil.Process:
    """The EngineCore process of a server, which is a child of the actor's."""
    actor = psutil.Process(ray.get(server.__ray_call__.remote(lambda self: os.getpid())))
    (engine,) = (child for child in actor.children() if "EngineCore" in child.name())
    return engine


def within_seconds(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold in this time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def suspended(process: psutil.Process) -> Iterator[None]:
    """Within, the process stands still: requests can neither be done nor dropped in time."""
    process.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def test_a_server_harvests_and_reports_the_death_of_its_engine(
    cluster: None, model_folder: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    server = start_server(model_folder, {"care_harvest": {"think_tag": THINK}})

    asked = [generate(server, tokenizer, {"prefilled": True}, max_tokens=40) for _ in range(8)]
    for output in ray.get(asked):
        embedding = output.extra_fields["care_embedding"]
        assert embedding.dtype == np.float32
        assert embedding.shape == (128,)
        assert output.extra_fields["care_embedding_tokens"] <= len(output.token_ids) - 1
        norm = float(np.linalg.norm(embedding))
        assert norm == pytest.approx(1.0 if output.extra_fields["care_embedding_tokens"] else 0.0)
        assert len(output.log_probs) == len(output.token_ids)
    plain = ray.get(generate(server, tokenizer, False, max_tokens=4))
    assert "care_embedding" not in plain.extra_fields
    with pytest.raises(ValueError, match="care_harvest = 'yes'"):
        ray.get(generate(server, tokenizer, "yes", max_tokens=4))

    long = {"max_tokens": 100, "ignore_eos": True}
    with suspended(engine_process(server)):
        queued = generate(server, tokenizer, False, **long, care_time_limit_s=0.01)
        # No token comes, so that no time counts.
        assert ray.wait([queued], timeout=1)[0] == []
    late = ray.get(queued)
    # A hundred tokens take longer. It was dropped, or this process would still wait for them.
    assert (late.token_ids, late.stop_reason) == ([], "timeout")
    assert not ray.get(server.has_requests.remote())
    assert within_seconds(30, lambda: not ray.get(server.engine_has_work.remote()))
    whole = ray.get(generate(server, tokenizer, False, **long, care_time_limit_s=60))
    assert (len(whole.token_ids), whole.stop_reason) == (100, "completed")

    with pytest.raises(KeyError), RolloutWatchdog({"replica 0": server}, []).explaining():
        raise KeyError("a bug of another kind")

    bystander = Bystander.remote()
    watchdog = RolloutWatchdog({"replica 0": server}, [bystander])
    stuck = bystander.wait_for_ever.remote()
    watchdog.check()
    engine = engine_process(server)
    with suspended(engine):
        limits = ({}, {"care_time_limit_s": 60.0})
        asked = [
            generate(server, tokenizer, True, max_tokens=9, **limit) for limit in (*limits, *limits)
        ]
        time.sleep(0.2)
        engine.kill()
    begin = time.monotonic()
    for request in asked:
        with pytest.raises(RuntimeError, match="vLLM engine of rollout replica 0 died"):
            ray.get(request, timeout=30)
    with pytest.raises(RolloutDiedError, match="rollout replica 0"), watchdog.explaining():
        ray.get(stuck, timeout=30)
    with pytest.raises(RolloutDiedError, match="rollout replica 0"):
        watchdog.check()
    assert time.monotonic() - begin < 30
    ray.kill(server)
