"""GRPO-CARE on a step's rows: by hand, and in a trainer on a queue in memory."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.platform.actor_classes import plain_class
from care_verl.training.grpo_care.step import ScoredStep
from care_verl.training.grpo_care.trainer import GrpoCareTrainer
from care_verl.training.grpo_care.worker import GrpoCareActorRolloutRefWorker
from care_verl.training.judged_row import JudgedRow
from tests.validation import validate

from .samples import MemoryQueue, answered
from .trainers import bare_trainer

Composed = Callable[..., DictConfig]


FLAG = "algorithm.adv_estimator=grpo_care"


def test_a_row_survives_the_queue() -> None:
    """JSON, which knows no tuples either, stands for the queue's own encoding."""
    for row in (answered(2, 1.0, 0.9, (3, 5), rule="exact"), answered(0, 0.0, 0.0, None)):
        assert JudgedRow.from_mapping(json.loads(json.dumps(row.to_mapping()))) == row


def scored_step(
    keys: list[str], rows: list[JudgedRow], masks: list[Tensor], log_probs: list[Tensor]
) -> ScoredStep:
    extra_fields = [{GRPO_CARE.name: row.to_mapping()} for row in rows]
    return ScoredStep.of(keys, extra_fields, masks, log_probs, GrpoCareConfig())


def scored() -> ScoredStep:
    """Three right rows with likelihoods 0.8, 0.4 and none, and a wrong one with 0.9."""
    likelihood = [0.8, 0.4, 1.0, 0.9]
    rows = [
        answered(0, 1.0, 1.0, (1, 2)),
        answered(1, 1.0, 1.0, (1, 2)),
        answered(2, 1.0, 0.9, None),
        answered(3, 0.0, 0.1, (1, 2)),
    ]
    return scored_step(
        [f"u_{i}_0" for i in range(4)],
        rows,
        [torch.tensor([1, 1, 0])] * 4,
        [torch.tensor([-5.0, math.log(p), -5.0]) for p in likelihood],
    )


def test_a_steps_fields_and_metrics_by_hand() -> None:
    """Rewards 1.5, 1, 0.9, 0.1: mean 0.875, squares 0.390625 + 0.015625 + 0.000625 + 0.600625."""
    step = scored()
    deviation = math.sqrt(1.0075 / 3) + 1e-4
    fields = step.fields()
    first = 0.625 / deviation
    assert fields["u_0_0"]["advantages"].tolist() == pytest.approx([first, first, 0.0])
    assert fields["u_0_0"]["token_level_rewards"].tolist() == [0.0, 0.0, 1.5]
    assert fields["u_3_0"]["returns"].tolist() == pytest.approx([-0.775 / deviation] * 2 + [0.0])
    assert step.metrics() == pytest.approx(
        {
            "grpo_care/acc/mean": 0.75,
            "grpo_care/accurate/share": 0.75,
            "grpo_care/answer/missing": 0.25,
            "grpo_care/bonus/rate": 0.25,
            "grpo_care/bonus/rate_of_accurate": 1 / 3,
            "grpo_care/bonus/mean": 0.125,
            "grpo_care/likelihood/accurate": 0.6,
            "grpo_care/likelihood/inaccurate": 0.9,
            "grpo_care/groups/without_advantage": 0.0,
            "grpo_care/verifier/undecided": 0.0,
            "grpo_care/verifier/unreadable_gold": 0.0,
        }
    )
    assert step.told()["u_2_0"] == {
        "acc": 1.0,
        "answer_likelihood": None,
        "bonus": 0.0,
        "advantage": pytest.approx(0.025 / deviation),
    }


def test_a_mean_over_nothing_is_left_out() -> None:
    step = scored_step(["u_0_0"], [answered(0, 0.0, 0.0, None)], [torch.ones(2)], [torch.zeros(2)])
    assert "grpo_care/likelihood/accurate" not in step.metrics()
    assert "grpo_care/bonus/rate_of_accurate" not in step.metrics()
    assert step.metrics()["grpo_care/groups/without_advantage"] == 1.0


def test_a_step_without_rows_says_so() -> None:
    with pytest.raises(RuntimeError, match="no rollout arrived"):
        ScoredStep.of([], [], [], [], GrpoCareConfig())


def test_the_reference_exists_though_no_kl_term_does(composed: Composed) -> None:
    """verl builds one where `use_kl_loss` asks for it: only while it is asked does it."""
    config = validate(composed(FLAG))
    trainer = GrpoCareTrainer(config)
    assert trainer.use_reference_policy
    assert not config.actor_rollout_ref.actor.use_kl_loss
    assert type(trainer.replay_buffer) is ReplayBuffer
    trainer._init_resource_pool_mgr()
    roles = {str(role): plain_class(actor) for role, actor in trainer.role_worker_mapping.items()}
    assert roles == {"actor_rollout_ref": GrpoCareActorRolloutRefWorker}
    assert not config.actor_rollout_ref.actor.use_kl_loss


def put_rows(queue: MemoryQueue, step: ScoredStep) -> KVBatchMeta:
    for i, (key, row) in enumerate(zip(step.keys, step.records, strict=True)):
        tokens = 3 + i
        mask = torch.ones(tokens, dtype=torch.int64)
        likelihood = float(step.result.likelihood[i])
        queue.rows[key] = {
            "extra_fields": {GRPO_CARE.name: row.to_mapping()},
            "response_mask": mask,
            "loss_mask": mask,
            "ref_log_prob": torch.full((tokens,), math.log(likelihood)).float(),
            "old_log_probs": torch.full((tokens,), math.log(likelihood) + 0.25 * i).float(),
        }
        queue.tags[key] = {"seq_len": 2 + tokens, "response_len": tokens}
    # As they may arrive.
    keys = list(reversed(step.keys))
    return KVBatchMeta(partition_id="train", keys=keys, tags=[queue.tags[key] for key in keys])


def two_rows() -> ScoredStep:
    """A right row with likelihood 0.5 and a wrong one with 0.25, out of a group of three."""
    return scored_step(
        ["u_0_0", "u_2_0"],
        [answered(0, 1.0, 1.0, (1, 2)), answered(2, 0.0, 0.1, (1, 2))],
        [torch.ones(3), torch.ones(4)],
        [torch.full((3,), math.log(0.5)), torch.full((4,), math.log(0.25))],
    )


def test_rows_are_put_in_order_and_missing_ones_are_copies(
    queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """verl would pad with rows of text, which a vision-language model cannot run."""
    seen: list[str] = []

    def verls(trainer: Any, batch: KVBatchMeta, *rest: Any) -> KVBatchMeta:
        seen.extend(batch.keys)
        return batch

    monkeypatch.setattr(PPOTrainerSync, "_balance_batch", verls)
    workers = {"actor": {"ppo_mini_batch_size": 1}, "rollout": {"n": 2}}
    config = OmegaConf.create({"actor_rollout_ref": workers})
    trainer = bare_trainer(
        config=config,
        actor_rollout_wg=SimpleNamespace(_dispatch_info={"actor": [0]}),
        _left_in_queue=2,
        _num_failed_groups=1,
        _get_required_batch_multiple=lambda ranks: 4,
    )
    metrics: dict[str, Any] = {}
    batch = trainer._balance_batch(put_rows(queue, two_rows()), metrics)
    assert (len(seen), seen[:2]) == (4, ["u_0_0", "u_2_0"])
    assert metrics == {"grpo_care/queue/rows": 2.0, "grpo_care/groups/failed": 1.0}
    # Two mini-batches of two: one copy in each.
    padding = [bool(tag.get("is_padding")) for tag in batch.tags]
    assert padding == [False, True, False, True]
    copied = [key for key, pads in zip(batch.keys, padding, strict=True) if pads]
    assert all(not queue.rows[key]["response_mask"].any() for key in copied)
    assert all(len(queue.rows[key]["response_mask"]) == 3 for key in copied)

    trainer._compute_advantage(batch, metrics)
    deviation = 1.4 / math.sqrt(2) + 1e-4
    assert queue.rows["u_0_0"]["advantages"].tolist() == pytest.approx([0.7 / deviation] * 3)
    assert queue.rows["u_2_0"]["advantages"].tolist() == pytest.approx([-0.7 / deviation] * 4)
    for key in copied:
        assert not queue.rows[key]["advantages"].any()
    assert metrics["grpo_care/acc/mean"] == 0.5
    assert metrics["grpo_care/likelihood/inaccurate"] == pytest.approx(0.25)
    # Of seven decoded tokens, four are 0.25 apart; those of the padding do not count.
    assert metrics["grpo_care/reference/log_prob_distance"] == pytest.approx(1 / 7)


def test_the_update_reports_how_the_reference_stands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PPOTrainerSync, "_update_actor", lambda trainer, batch, metrics: batch)
    counts = {"optimizer_steps": 12, "updates": 1, "skipped": 2}
    state: dict[str, float | None] = {**counts, "distance": 0.5}
    trainer = bare_trainer(actor_rollout_wg=SimpleNamespace(reference_state=lambda: [dict(state)]))
    metrics: dict[str, Any] = {}
    with caplog.at_level(logging.ERROR):
        trainer._update_actor("a batch", metrics)
    assert metrics == {
        "grpo_care/updates/skipped": 2.0,
        "grpo_care/ema/optimizer_steps": 12.0,
        "grpo_care/ema/updates": 1.0,
        "grpo_care/ema/distance": 0.5,
    }
    assert "2 optimizer steps were skipped" in caplog.text
    state["distance"], unmoved = None, dict[str, Any]()
    trainer._update_actor("a batch", unmoved)
    assert "grpo_care/ema/distance" not in unmoved


def test_a_dump_says_what_became_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding has nothing to tell, and validation rows are none of the step's."""
    dumped: list[dict[str, list[Any]]] = []
    monkeypatch.setattr(
        PPOTrainerSync,
        "_dump_generations",
        lambda trainer, *told: dumped.append(told[-2]),
    )
    trainer = bare_trainer(_step=scored())
    keys = ["u_0_0", "pad_0_0"]
    trainer._dump_generations([], [], [], [], {"uid": keys}, "a folder")
    trainer._dump_generations([], [], [], [], {"uid": ["v_0_0"]}, "a folder")
    assert dumped[0]["uid"] == keys
    assert dumped[0]["bonus"] == [0.5, None]
    assert dumped[0]["answer_likelihood"] == [pytest.approx(0.8), None]
    assert dumped[1] == {"uid": ["v_0_0"]}
