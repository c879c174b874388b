"""Messages as the libraries write them, one or more for each known error.

Those that can be raised here are raised; the others are quoted from their sources or from the
thread that the entry names. `FRAMES` are lines of the traceback above a message.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.74 GiB. GPU 0 has a total "
    "capacity of 15.48 GiB of which 953.94 MiB is free."
)


def raised(action: Callable[[], Any]) -> str:
    """The last line of the traceback of what `action` raises."""
    try:
        action()
    # Any of the libraries' errors is what is wanted here.
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    raise AssertionError("nothing was raised")


def frame(function: str, file: str = "verl/workers/engine_workers.py") -> str:
    """A frame as a traceback has it."""
    return f'  File "/site-packages/{file}", line 1, in {function}'


def cache(available: int) -> str:
    """vLLM's error about the room for its cache, in bytes."""
    from vllm.v1.core.kv_cache_utils import _check_enough_kv_cache_memory

    return raised(
        lambda: _check_enough_kv_cache_memory(available, lambda: 2**31, 4096, lambda _: 7)
    )


def startup() -> str:
    from types import SimpleNamespace

    from vllm.v1.worker.utils import request_memory

    snapshot: Any = SimpleNamespace(total_memory=2**34, free_memory=2**30, device_="cuda:0")
    settings: Any = SimpleNamespace(gpu_memory_utilization=0.5)
    return raised(lambda: request_memory(snapshot, settings))


def image_features() -> str:
    from types import SimpleNamespace

    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

    model: Any = SimpleNamespace(config=SimpleNamespace(image_token_id=7, video_token_id=8))
    place = Qwen2_5_VLModel.get_placeholder_mask
    ids, embeddings = torch.tensor([[7, 7, 1]]), torch.zeros(1, 3, 4)
    return raised(lambda: place(model, ids, embeddings, image_features=torch.zeros(1, 4)))


def placeholders() -> str:
    from vllm.model_executor.models.utils import _merge_multimodal_embeddings

    return raised(
        lambda: _merge_multimodal_embeddings(
            torch.zeros(3, 4), [torch.zeros(2, 4)], torch.tensor([True, False, False])
        )
    )


def dataset(images: list[Any], processor: Any) -> str:
    from verl.utils.dataset.rl_dataset import RLHFDataset

    ours: Any = object.__new__(RLHFDataset)
    ours.image_key, ours.video_key, ours.audio_key = "images", "videos", "audios"
    ours.processor = processor
    row = {"prompt": [{"role": "user", "content": "<image><image>"}], "images": images}
    return raised(lambda: ours._build_messages(row, "prompt"))


def micro_batch() -> str:
    from verl.utils import tensordict_utils as tu
    from verl.utils.seqlen_balancing import rearrange_micro_batches

    rows = {"attention_mask": torch.ones(2, 9), "input_ids": torch.ones(2, 9, dtype=torch.long)}
    batch = tu.get_tensordict(rows)
    return raised(lambda: rearrange_micro_batches(batch, max_token_len=4))


def scheduler() -> str:
    from vllm.config import SchedulerConfig

    return raised(
        lambda: SchedulerConfig(
            max_model_len=64,
            is_encoder_decoder=False,
            max_num_batched_tokens=64,
            max_num_seqs=128,
        )
    )


def tokenizer(folder: Path) -> str:
    from transformers import AutoTokenizer

    return raised(lambda: AutoTokenizer.from_pretrained(folder))


def processor(folder: Path) -> str:
    from transformers import AutoImageProcessor

    return raised(lambda: AutoImageProcessor.from_pretrained(folder))


def architecture(folder: Path) -> str:
    from transformers import AutoConfig

    (folder / "config.json").write_text('{"model_type": "tomorrow"}')
    return raised(lambda: AutoConfig.from_pretrained(folder))


def no_model() -> str:
    from transformers import AutoConfig

    return raised(lambda: AutoConfig.from_pretrained("/nowhere/at/all/models"))


def flash_attention(folder: Path) -> str:
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder)
    return raised(
        lambda: AutoModelForImageTextToText.from_config(
            config, attn_implementation="flash_attention_2"
        )
    )


def port() -> str:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        return raised(
            lambda: torch.distributed.TCPStore("127.0.0.1", number, is_master=True, world_size=1)
        )


def trainer() -> str:
    from verl.trainer.ppo.v1.trainer_base import get_trainer_cls

    return raised(lambda: get_trainer_cls("care_verl_plugin_")).replace("plugin_'", "plugin'")


def inactive() -> str:
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    from care_verl.training.run.activation import require_active

    kept = POLICY_LOSS_REGISTRY.pop("care")
    try:
        return raised(lambda: require_active("an FSDP actor"))
    finally:
        POLICY_LOSS_REGISTRY["care"] = kept


def contract() -> str:
    from care_verl.platform.contract import require_source

    return raised(lambda: require_source(raised, "never in there: " + "x" * 3))


def struct() -> str:
    from omegaconf import OmegaConf

    config = OmegaConf.create({"a": 1})
    OmegaConf.set_struct(config, True)
    return raised(lambda: config.b)


def unknown_setting() -> str:
    from care_verl.algorithm import CareConfig

    return raised(lambda: CareConfig.from_mapping({"kk": 1}))


def unknown_field() -> str:
    from hydra.utils import instantiate

    return raised(lambda: instantiate({"_target_": "verl.workers.config.SamplingConfig", "x": 1}))


def broken_image() -> str:
    from care_verl.training.dataset import _with_image
    from care_verl.training.messages import ENCODED

    return raised(lambda: _with_image({"type": "image", ENCODED: b"\x89PNG and no more"}))


def no_accuracy() -> str:
    from care_verl.training.judged_row import read_accuracy

    return raised(lambda: read_accuracy({}, "reward function f of r.py, session 3"))


def tools_in_a_row() -> str:
    from care_verl.training.run.misfit import require_single_turn

    return raised(lambda: require_single_turn({"agent_name": "tool_agent"}))


def dead_engine() -> str:
    from vllm.v1.engine.exceptions import EngineDeadError

    return f"vllm.v1.engine.exceptions.EngineDeadError: {EngineDeadError()}"


def dead_actor() -> str:
    from ray.exceptions import ActorDiedError

    return f"ray.exceptions.ActorDiedError: {ActorDiedError()}"


# (name of the entry, the message, the frames above it)
WRITTEN: list[tuple[str, str, str]] = [
    (
        "out of memory on wake-up of vLLM",
        "RuntimeError: CUDA Error: out of memory at /workspace/csrc/cumem_allocator.cpp:62",
        frame("wake_up", "vllm/device_allocator/cumem.py"),
    ),
    (
        "out of memory on wake-up of vLLM (torch)",
        OUT_OF_MEMORY,
        frame("wake_up", "vllm/v1/worker/gpu_worker.py"),
    ),
    ("out of memory in log-probabilities", OUT_OF_MEMORY, frame("compute_log_prob")),
    ("out of memory in log-probabilities", OUT_OF_MEMORY, frame("compute_ref_log_prob")),
    ("out of memory in the update", OUT_OF_MEMORY, frame("update_actor")),
    (
        "out of memory when vLLM starts",
        OUT_OF_MEMORY,
        frame("profile_run", "vllm/v1/worker/gpu_model_runner.py"),
    ),
    ("out of memory in the weight update", OUT_OF_MEMORY, frame("update_weights")),
    ("out of memory on the GPU", OUT_OF_MEMORY, frame("forward", "mine.py")),
    (
        "a prompt with images is too long",
        "ValueError: Multimodal prompt produced 900 tokens, exceeding rollout.prompt_length=512.",
        "",
    ),
    (
        "a prompt leaves no room",
        "ValueError: Prompt length (128) leaves no room to generate within the model's maximum "
        "context length (128); need at least 1 token of headroom.",
        "",
    ),
    (
        "max_model_len too small",
        "VLLMValidationError: The decoder prompt (length 900) is longer than the maximum model "
        "length of 512. Make sure that `max_model_len` is no smaller",
        "",
    ),
    (
        "max_model_len too large",
        "ValueError: User-specified max_model_len (99999) is greater than the derived "
        "max_model_len (max_position_embeddings=32768",
        "",
    ),
    (
        "too few GPUs in the cluster",
        "ValueError: Total available GPUs 4.0 is less than total desired GPUs 8",
        "",
    ),
    (
        "placement waits for resources",
        "Error: No available node types can fulfill resource request {'GPU': 8.0}",
        "",
    ),
    (
        "placement waits for resources",
        "Waiting for creating a placement group of specs for 150 seconds. specs=[{'GPU': 1.0}]",
        "",
    ),
    (
        "NCCL time-out",
        "[Rank 37] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=141365, "
        "OpType=ALLGATHER, Timeout(ms)=600000) ran for 600017 milliseconds before timing out.",
        "",
    ),
    (
        "NCCL error",
        "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/"
        "NCCLUtils.cpp:77, unhandled system error, ncclSystemError: System call failed",
        "",
    ),
    (
        "Ray killed a worker for memory",
        "ray.exceptions.OutOfMemoryError: 2 worker(s) were killed due to the node running low on "
        "memory.",
        "",
    ),
    (
        "Ray killed a worker for memory",
        "node_manager.cc:3277: 2 Workers (tasks / actors) killed due to memory pressure (OOM), 0 "
        "Workers crashed",
        "",
    ),
    (
        "/dev/shm too small for Ray",
        "WARNING: The object store is using /tmp/ray instead of /dev/shm because /dev/shm has only "
        "67108864 bytes available.",
        "",
    ),
    (
        "/dev/shm full",
        "RuntimeError: unable to write to file </torch_381_39_0>: No space left on device (28)",
        "",
    ),
    ("disk full", "OSError: [Errno 28] No space left on device", ""),
    (
        "a shared-memory file of a dead run",
        "AssertionError: Stale shm segment 'verl_weights': expected 2147483648 bytes, got 67108864",
        "",
    ),
    (
        "flash-attn does not fit torch",
        "ImportError: /x/flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so: undefined symbol: "
        "_ZN3c105ErrorC2ENS_14SourceLocationE",
        "",
    ),
    (
        "rows do not divide",
        "AssertionError: real_train_batch_size (36) must be divisible by minimal possible batch "
        "size (8)",
        "",
    ),
    ("rows do not divide", "AssertionError: Got batch_size_per_dp=36 and num_mini_batch=8", ""),
    ("too little data for a step", "AssertionError: Train dataloader is empty!", ""),
    (
        "vLLM and the actor disagree",
        "care_verl.training.care.log_prob_parity.ParityError: step 3, row s000003p00001_2_0 ...",
        "",
    ),
    (
        "a checkpoint could not be written or found",
        "care_verl.training.checkpointing.checkpoints.CheckpointError: "
        "there is no whole checkpoint in /runs",
        "",
    ),
    (
        "a file could not be written",
        "care_verl.training.run.disk.UnwritableError: a file of the run could not be written: ...",
        "",
    ),
    (
        "groups failed",
        "care_verl.training.run.failures.GroupsFailedError: 17 groups failed in this step, "
        "which ends the run; the first: ...",
        "",
    ),
    ("groups failed", "group discarded, 7 of 8 sessions settled well; session 3 of ...", ""),
    (
        "the rollout engine died",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
        "proc(s): {}",
        "",
    ),
    (
        "a process of the run died",
        "care_verl.training.run.liveness.RunActorDiedError: agent-loop worker 0 died, so this "
        "step can",
        "",
    ),
]
