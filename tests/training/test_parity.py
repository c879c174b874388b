"""The parity check between sampling and update, on a queue in memory.

Numbers are planted here; that a wrong context makes such numbers is in `test_parity_context`.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.workers.engine_workers import TrainingWorker

from care_verl.algorithm import CareConfig
from care_verl.algorithm.config import ParityConfig
from care_verl.training.care.log_prob_parity import ParityError, checked_parity
from care_verl.training.care.policy_loss import RATIO
from care_verl.training.care.sampling import two_distributions
from care_verl.training.care.trainer import CareTrainer
from care_verl.training.care.worker import CareTrainingWorker
from care_verl.training.fields import IN_S_STAR

from .samples import MemoryQueue, record, step_rows
from .trainers import step_of

EMBEDDING = [1.0, 0.0]


def sampling() -> dict[str, Any]:
    """verl's defaults of what decides the distribution."""
    return {
        "logprobs_mode": "processed_logprobs",
        "temperature": 1.0,
        "top_p": 1,
        "top_k": -1,
        "engine_kwargs": {"vllm": {}},
    }


def put(queue: MemoryQueue, key: str, sampled: list[float], scored: list[float]) -> None:
    queue.rows[key] = {
        "rollout_log_probs": torch.tensor(sampled),
        "old_log_probs": torch.tensor(scored),
        "response_mask": torch.ones(len(sampled), dtype=torch.int64),
    }


def scored_batch(queue: MemoryQueue, images: tuple[int, int, int] = (1, 1, 1)) -> Any:
    """Two originals and a reflection that copied two tokens; a dropped row and a padding copy."""
    records = [
        ("u", record(0, 1.0, images=images[0]), EMBEDDING),
        ("u", record(1, 0.0, images=images[1]), EMBEDDING),
        ("u", record(2, 1.0, reflected_from=1, images=images[2]), None),
    ]
    rows = step_rows(records, masks=[[1, 1], [1, 1], [1, 1, 1]])
    put(queue, "u_0_0", [-1.0, -2.0], [-1.0, -2.25])
    put(queue, "u_1_0", [-9.0, -9.0], [-1.0, -1.0])
    put(queue, "u_2_0", [0.0, 0.0, -1.0], [-5.0, -5.0, -1.5])
    queue.rows["u_2_0"]["response_mask"] = torch.tensor([0, 0, 1])
    put(queue, "pad7_0_0", [-1.0], [-8.0])
    tags = [{"is_padding": False}, {"is_padding": True}, {"is_padding": False}]
    keys = ["u_2_0", "u_1_0", "u_0_0", "pad7_0_0"]
    batch = KVBatchMeta(partition_id="train", keys=keys, tags=[*tags, {"is_padding": True}])
    return batch, rows


def test_trained_rows_are_measured_by_kind(queue: MemoryQueue) -> None:
    """Padding, real rows and copies, is 8 and 7 apart and counts nowhere."""
    batch, rows = scored_batch(queue)
    assert checked_parity(batch, rows, ParityConfig(), step=3) == pytest.approx(
        {
            "care/parity/tokens": 3.0,
            "care/parity/original_max": 0.25,
            "care/parity/original_mean": 0.125,
            "care/parity/reflected_max": 0.5,
            "care/parity/reflected_mean": 0.5,
            "care/parity/row_sum_max": 0.5,
        }
    )


def test_images_are_told_apart_where_some_rows_have_none(queue: MemoryQueue) -> None:
    batch, rows = scored_batch(queue, images=(0, 1, 1))
    metrics = checked_parity(batch, rows, ParityConfig(), step=3)
    assert metrics["care/parity/original_text_max"] == 0.25
    assert metrics["care/parity/reflected_image_max"] == 0.5
    assert metrics["care/parity/reflected_max"] == 0.5


def test_a_token_beyond_the_limit_is_named(queue: MemoryQueue) -> None:
    batch, rows = scored_batch(queue)
    assert checked_parity(batch, rows, ParityConfig(max_difference=0.5), step=3)
    with pytest.raises(ParityError) as refusal:
        checked_parity(batch, rows, ParityConfig(max_difference=0.4), step=3)
    message = str(refusal.value)
    assert "step 3, row u_2_0 (reflected), response token 2" in message
    assert "sampled it at log-probability -1, the actor scores it at -1.5" in message
    assert "distance 0.5 is above algorithm.care.parity.max_difference = 0.4" in message
    assert "load_format=dummy" in message


def test_a_score_that_is_no_number_is_beyond_every_limit(queue: MemoryQueue) -> None:
    batch, rows = scored_batch(queue)
    queue.rows["u_0_0"]["old_log_probs"] = torch.tensor([-1.0, math.nan])
    with pytest.raises(ParityError, match=r"row u_0_0 \(original\), response token 1: .* nan"):
        checked_parity(batch, rows, ParityConfig(max_difference=1e6), step=1)


def test_a_step_without_any_update_has_nothing_to_compare(queue: MemoryQueue) -> None:
    """All rows are padding with cleared masks then, and are not tagged as such."""
    batch, rows = scored_batch(queue)
    for row in queue.rows.values():
        row["response_mask"] = torch.zeros_like(row["response_mask"])
    batch.tags = [{"is_padding": False} for _ in batch.keys]
    limit = ParityConfig(max_difference=1e-9)
    assert checked_parity(batch, rows, limit, step=1) == {"care/parity/tokens": 0.0}


def test_the_trainer_checks_between_scoring_and_update(
    monkeypatch: pytest.MonkeyPatch, queue: MemoryQueue
) -> None:
    """verl's step calls `_compute_old_log_prob` before the update: see `care.trainer`."""
    batch, rows = scored_batch(queue)
    monkeypatch.setattr(PPOTrainerSync, "_compute_old_log_prob", lambda self, batch, metrics: batch)
    trainer: Any = object.__new__(CareTrainer)
    trainer._step, trainer.global_steps, trainer.settings = step_of({}, rows), 3, CareConfig()
    trainer.config = OmegaConf.create({"actor_rollout_ref": {"rollout": sampling()}})
    metrics: dict[str, float] = {}
    assert trainer._compute_old_log_prob(batch, metrics) is batch
    assert metrics["care/parity/original_max"] == 0.25
    trainer.settings = CareConfig(parity=ParityConfig(max_difference=0.1))
    with pytest.raises(ParityError, match="step 3"):
        trainer._compute_old_log_prob(batch, metrics)
    # A distance between two distributions would be no sign of anything.
    trainer.config.actor_rollout_ref.rollout.top_p = 0.9
    metrics = {}
    trainer._compute_old_log_prob(batch, metrics)
    assert metrics == {}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"temperature": 0.7}, None),
        ({"top_k": 0}, None),
        ({"top_p": 0.9}, "rollout.top_p = 0.9 cuts the distribution"),
        ({"top_k": 50}, "rollout.top_k = 50 cuts the distribution"),
        ({"logprobs_mode": "raw_logprobs"}, None),
        ({"logprobs_mode": "raw_logprobs", "top_p": 0.9}, None),
        (
            {"logprobs_mode": "raw_logprobs", "temperature": 0.7},
            "before rollout.temperature = 0.7",
        ),
        (
            {"engine_kwargs": {"vllm": {"logprobs-mode": "raw_logprobs"}}, "temperature": 0.7},
            "rollout.logprobs_mode = 'raw_logprobs' has vLLM report",
        ),
    ],
)
def test_which_samplings_have_one_distribution(changes: dict[str, Any], why: str | None) -> None:
    """The actor's is softmax(logits / temperature); vLLM's raw ones are softmax(logits).

    That vLLM does so is read from its sources, not shown here.
    """
    found = two_distributions(OmegaConf.create(sampling() | changes))
    assert (found is None) == (why is None)
    assert why is None or why in str(found)


def test_only_the_first_step_of_an_update_reports_its_ratio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two updates of three steps: later ones leave ratio 1 on purpose."""

    def one_step(worker: Any, data: TensorDict) -> TensorDict:
        return tu.get_tensordict({}, {"metrics": {RATIO: [1e-7], "loss": 1.0}})

    reported: list[bool] = []

    def update(worker: Any, data: TensorDict) -> None:
        for _ in range(3):
            reported.append(RATIO in tu.get(worker.train_batch(data), "metrics"))

    monkeypatch.setattr(TrainingWorker, "train_batch", one_step)
    monkeypatch.setattr(TrainingWorker, "train_mini_batch", update)
    worker: Any = object.__new__(CareTrainingWorker)
    monkeypatch.setattr(CareTrainingWorker, "device_name", "cpu", raising=False)
    worker.engine = type("Engine", (), {"get_data_parallel_group": lambda self: None})()
    masks = [torch.ones(3), torch.ones(2)]
    mask = torch.nested.as_nested_tensor(masks, layout=torch.jagged)
    fields = {IN_S_STAR: torch.ones(2, 1), "response_mask": mask, "loss_mask": mask.clone()}
    data = tu.get_tensordict(fields, {})
    worker.train_mini_batch(data)
    worker.train_mini_batch(data)
    assert reported == [True, False, False] * 2
