"""Memory, disk and shared memory. The numbers are worked out by hand for a round model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import DictConfig

from care_verl.tools.doctor import disk
from care_verl.tools.doctor.disk import (
    Checkpoints,
    check_checkpoints,
    check_folder,
    check_shared_memory,
)
from care_verl.tools.doctor.memory import GIB, Plan, check_gpu, check_ram, estimate
from care_verl.tools.doctor.model_facts import ModelFacts, read_model
from care_verl.tools.doctor.models import check_model
from care_verl.tools.doctor.record_files import Records, check_records

from .told import all_well, the_error, the_warning

# 8 Gi parameters, 32 layers of 1024, 100 Ki words.
MODEL = ModelFacts(8 * GIB, 1024, 32, 100 * 1024, 512, 8192, lora=2**20)
PLAN = Plan(
    model=MODEL,
    ranks=8,
    shards=8,
    tensor=2,
    weight=4,
    compute=2,
    rollout=2,
    lora_rank=0,
    tokens=8192,
    row=4096,
    checkpointing=True,
    offload_parameters=False,
    offload_optimizer=False,
    share=0.5,
    sleeps=True,
    reference=True,
)


def test_the_estimates_parts() -> None:
    """Per GPU: 8 Gi x 4 B / 8 = 4 GiB of parameters, as much of gradients, twice of moments; vLLM
    8 Gi x 2 B / 2. What a pass holds: two layers of 8/32 Gi x 2 B, inputs of 8192 x 1024 x 2 B in
    32 layers, logits of 8192 x 100 Ki x 10 B. Not proved: that a run needs no more.
    """
    parts = estimate(PLAN)
    assert parts.parameters == parts.gradients == 4 * GIB
    assert parts.optimizer == 8 * GIB
    assert parts.passes == pytest.approx((1 + 0.5 + 7.8125) * GIB)
    assert parts.rollout_weights == 8 * GIB
    assert parts.cache_of_a_row == 2 * 32 * 512 * 2 * 4096 / 2


def test_adapters_have_the_only_gradients() -> None:
    parts = estimate(replace(PLAN, lora_rank=64))
    assert parts.gradients == 64 * 2**20 * 4 / 8
    assert parts.parameters == (8 * GIB + 64 * 2**20) * 4 / 8


def test_a_gpu_that_is_large_enough() -> None:
    (finding,) = check_gpu(PLAN, 80 * GIB)
    assert all_well([finding])
    assert "8.59 B parameters over 8 shards" in finding.found
    assert "28.3 GiB in an update" in finding.found


def test_an_update_that_does_not_fit() -> None:
    finding = the_warning(check_gpu(PLAN, 24 * GIB), "an update needs about 28.3 GiB")
    assert "ppo_max_token_len_per_gpu" in finding.change


def test_a_rollout_that_does_not_fit() -> None:
    finding = the_error(check_gpu(replace(PLAN, share=0.1), 80 * GIB), "gives vLLM 8.0 GiB")
    assert "gpu_memory_utilization" in finding.change


def test_a_wake_up_that_runs_out_of_memory() -> None:
    """0.9 x 80 + 4 + 8 + 3 GiB are 87; (80 - 15) / 80 is 0.81."""
    tight = replace(PLAN, share=0.9)
    finding = the_warning(check_gpu(tight, 80 * GIB), "out of memory on wake-up")
    assert "lower actor_rollout_ref.rollout.gpu_memory_utilization to 0.81" in finding.change
    away = replace(tight, offload_parameters=True, offload_optimizer=True)
    assert all_well(check_gpu(away, 80 * GIB))


def test_without_a_gpu_the_arithmetic_is_shown() -> None:
    (finding,) = check_gpu(PLAN, None)
    assert "give --gpu-memory" in finding.found


def test_ram() -> None:
    small = replace(PLAN, model=replace(MODEL, parameters=2**20), ranks=1, shards=1, tokens=64)
    assert all_well(check_ram(small, 8 * GIB))
    the_warning(check_ram(PLAN, 8 * GIB), "of 8.0 GiB of RAM")


def test_a_checkpoints_size() -> None:
    """Weights and two moments of 4 bytes, the export in 2."""
    contents = ["model", "optimizer", "extra", "hf_model"]
    assert disk.checkpoint_size(PLAN, contents) == 8 * GIB * (4 + 8 + 2)
    assert disk.checkpoint_size(PLAN, ["model"]) == 8 * GIB * 4
    lora = replace(PLAN, lora_rank=64)
    assert disk.checkpoint_size(lora, ["optimizer"]) == 64 * 2**20 * 8


def test_not_enough_disk(completed: Callable[..., DictConfig]) -> None:
    config = completed("trainer.save_freq=1", "trainer.max_actor_ckpt_to_keep=3")
    wanted = Checkpoints.of(config, PLAN)
    assert wanted is not None
    # Two steps, so two checkpoints, though three would be kept.
    assert wanted.peak == 2
    assert all_well(check_checkpoints(wanted, 500 * GIB))
    finding = the_error(check_checkpoints(wanted, 100 * GIB), "are 224.0 GiB", "100.0 GiB free")
    assert "trainer.max_actor_ckpt_to_keep" in finding.change


def test_a_disk_that_fills_up_in_time() -> None:
    endless = Checkpoints(Path("/runs"), 2.0 * GIB, None, 50)
    finding = the_error(check_checkpoints(endless, 20 * GIB), "50 checkpoints")
    assert finding.change
    unlimited = the_warning(check_checkpoints(endless, 200 * GIB), "every checkpoint is kept")
    assert unlimited.change == "set trainer.max_actor_ckpt_to_keep=2"


def test_one_checkpoint_is_kept_while_the_next_is_written() -> None:
    assert Checkpoints(Path("/runs"), 1.0, 2, 50).peak == 2


def test_a_run_that_saves_nothing(completed: Callable[..., DictConfig]) -> None:
    wanted = Checkpoints.of(completed("trainer.save_freq=-1"), PLAN)
    assert (
        "trainer.save_freq=20" in the_warning(check_checkpoints(wanted, 0), "no checkpoint").change
    )


def test_the_records_size(completed: Callable[..., DictConfig]) -> None:
    """32 prompts of 8 rollouts and a reflection, 48 tokens each, 10 bytes a token; two steps."""
    records = Records.of(completed())
    assert records is not None
    assert records.step == 32 * 9 * 48 * 10
    assert records.count == 2
    kept = Records.of(completed("++algorithm.care.records.keep=1"))
    assert kept is not None
    assert kept.count == 1
    long = ["trainer.total_training_steps=100", "++algorithm.care.records.every=8"]
    sparse = Records.of(completed(*long, "++algorithm.care.rgr.mode=off"))
    assert sparse is not None
    assert (sparse.step, sparse.count) == (32 * 8 * 48 * 10, 13)
    assert Records.of(completed("++algorithm.care.records.every=0")) is None


def test_records_of_unknown_length_or_refused(
    completed: Callable[..., DictConfig],
) -> None:
    records = Records.of(completed("trainer.total_training_steps=null"))
    assert records is not None
    assert records.count == 1000
    assert Records.of(completed("++algorithm.care.records.keep=-1")) is None


def test_not_enough_disk_for_records_and_checkpoints() -> None:
    records = Records(Path("/runs/records"), "algorithm.care.records", 0.5 * GIB, 20)
    assert all_well([check_records(records, 20 * GIB, beside=10.0 * GIB)])
    finding = the_error(
        [check_records(records, 19 * GIB, beside=10.0 * GIB)],
        *("at most 0.5 GiB a step, 20 of them", "10.0 GiB beside 10.0 GiB", "19.0 GiB free"),
    )
    assert "++algorithm.care.records.keep" in finding.change
    assert "checkpoints" not in check_records(records, 1, beside=0.0).found


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert check_folder(tmp_path / "new" / "run") == []
    assert "choose another" in the_error(check_folder(blocked / "run"), "is no folder").change


def test_shared_memory_of_a_container() -> None:
    """Docker gives 64 MiB unless it is told otherwise."""
    assert "--shm-size" in the_error(check_shared_memory(64 * 2**20, 0), "64 MiB free").change
    assert all_well(check_shared_memory(16 * GIB, 2 * GIB))
    the_error(check_shared_memory(2 * GIB, 2 * GIB), "2.0 GiB of weight buffers")


def test_facts_of_the_embedded_model(model_folder: Path) -> None:
    """The count of parameters is that of the file's tensors."""
    from safetensors import safe_open

    facts = read_model(model_folder)
    with safe_open(str(model_folder / "model.safetensors"), "pt") as weights:
        held = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118
    assert facts.parameters == held
    assert (facts.hidden, facts.layers, facts.key_value) == (128, 3, 64)


def test_a_model_that_is_not_here(completed: Callable[..., DictConfig], tmp_path: Path) -> None:
    key = "actor_rollout_ref.model.path"
    gone = check_model(completed(f"{key}=/nowhere/model"))[2]
    assert "name the model's folder" in the_error(gone, "no such folder").change
    hub = check_model(completed(f"{key}=nobody/never-was"))[2]
    assert "hf download" in the_warning(hub, "not on this machine").change
    the_error(check_model(completed(f"{key}={tmp_path}"))[2], str(tmp_path))


def test_a_model_that_is_not_whole(
    completed: Callable[..., DictConfig], model_folder: Path, tmp_path: Path
) -> None:
    shutil.copy(model_folder / "config.json", tmp_path)
    findings = check_model(completed(f"actor_rollout_ref.model.path={tmp_path}"))[2]
    assert "download" in the_error(findings, "has no weights").change
    assert "tokenizer's files" in the_error(findings, "has no tokenizer").change


def test_a_context_beyond_the_model(completed: Callable[..., DictConfig]) -> None:
    config = completed("actor_rollout_ref.rollout.max_model_len=1000000")
    the_error(check_model(config)[2], "max_model_len = 1000000")
