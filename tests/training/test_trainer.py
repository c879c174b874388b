"""CARE's trainer piece by piece, on a queue in memory and without workers.

The trainer is made without its constructor; that verl calls these methods in this order is in
`care.trainer`, a whole step is shown end to end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.config import validate_config
from verl.workers.engine_workers import TrainingWorker

from care_verl.algorithm import CareConfig
from care_verl.platform.actor_classes import plain_class
from care_verl.training.batching import data_parallel_size, rows_multiple
from care_verl.training.care.dropping import drop_rows
from care_verl.training.care.policy_loss import CLIPPED, RATIO, TRAINED, clip_rate, skipped_updates
from care_verl.training.care.trainer import CareTrainer
from care_verl.training.care.worker import CareActorRolloutRefWorker, CareTrainingWorker
from care_verl.training.fields import IN_S_STAR
from care_verl.training.queue_rows import MASKS
from care_verl.training.run.failures import failed_groups_limit

from .samples import MemoryQueue, record, step_rows
from .trainers import batch_config, care_trainer, sampled, step_of, workers

Composed = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("settings", "reference", "multiple"),
    [
        ({"dynamic": True}, True, 2 * 4),
        ({}, True, 2 * 480),
        ({}, False, 2 * 96),
        ({"rollout": 8, "ref": 16}, True, 2 * 32),
        ({"mini": 32, "rollout": 4, "ref": 4}, True, 2 * 8),
        ({"mini": 64, "dynamic": True}, True, 2),
    ],
)
def test_rows_divide_into_ranks_and_batches(
    settings: dict[str, Any], reference: bool, multiple: int
) -> None:
    """Two ranks. 32 prompts in mini-batches of 8 make 4 updates, of micro-batches of 8: 32.

    lcm(32, 6, 5) = 480 rows a rank, lcm(32, 6) = 96 without a reference. A mini-batch larger than
    the batch is one update.
    """
    config = batch_config(**settings)
    assert rows_multiple(config, 2, reference) == multiple
    trainer = care_trainer(config, use_reference_policy=reference)
    assert trainer._get_required_batch_multiple(2) == multiple


def test_the_trainer_is_a_synchronous_one_that_polls_often(composed: Composed) -> None:
    """Any mode name but `sync` would select verl's asynchronous buffer."""
    config = composed("algorithm.adv_estimator=care")
    validate_config(config=config, use_reference_policy=True, use_critic=False)
    trainer = CareTrainer(config)
    assert trainer.trainer_mode == config.trainer.v1.trainer_mode == "sync"
    assert type(trainer.replay_buffer) is ReplayBuffer
    assert trainer.replay_buffer.poll_interval == 0.05


def test_the_trainer_starts_cares_actor(composed: Composed) -> None:
    trainer = care_trainer(composed("actor_rollout_ref.actor.use_kl_loss=True"))
    trainer._init_resource_pool_mgr()
    roles = {str(role): plain_class(actor) for role, actor in trainer.role_worker_mapping.items()}
    assert roles == {"actor_rollout_ref": CareActorRolloutRefWorker}


def test_data_parallel_size_is_asked_once() -> None:
    group = workers()
    assert data_parallel_size(group) == 2
    group._query_dispatch_info = None
    assert data_parallel_size(group) == 2


def test_a_step_keeps_what_is_trained_and_writes_its_credit(queue: MemoryQueue) -> None:
    """Advantages 1, 0, -1, 1 of `test_rows`; three kept rows and one of padding for two ranks."""
    config = batch_config(rows=8, mini=8, dynamic=True)
    config.trainer = {"rollout_data_dir": None}
    trainer = care_trainer(config, actor_rollout_wg=workers())
    kept = trainer._assign_and_drop(sampled(queue))
    assert kept.keys == ["u_0_0", "u_2_0", "u_3_0", "u_1_0"]
    assert sorted(queue.rows) == sorted(kept.keys)
    assert trainer._step.metrics["care/rows/updated"] == 3.0
    assert trainer._step.metrics["care/rows/without_weight"] == 0.0

    kept.reorder([3, 2, 1, 0])
    trainer._compute_advantage(kept, {})
    sums = {key: float(queue.rows[key]["advantages"].sum()) for key in kept.keys}
    assert sums == pytest.approx({"u_0_0": 1, "u_2_0": -1, "u_3_0": 1, "u_1_0": 0}, abs=1e-5)
    votes = {key: queue.rows[key][IN_S_STAR].tolist() for key in kept.keys}
    assert votes == {"u_0_0": [1.0], "u_2_0": [1.0], "u_3_0": [1.0], "u_1_0": [0.0]}


def test_padding_is_dealt_over_the_mini_batches(
    monkeypatch: pytest.MonkeyPatch, queue: MemoryQueue
) -> None:
    """Two ranks of four rows, two mini-batches each. Rank 0 holds all the padding, three rows.

    Its one trained row opens its first mini-batch; the others follow by turns.
    """
    trained = {"a", "e", "f", "g", "h"}
    tags = [{"is_padding": key not in trained} for key in "abcdefgh"]
    monkeypatch.setattr(PPOTrainerSync, "_balance_batch", lambda self, batch, *rest: batch)
    trainer = care_trainer(
        batch_config(rows=8, mini=4),
        actor_rollout_wg=workers(),
        _step=step_of({"care/x": 1.0}),
        _left_in_queue=5,
    )
    balanced = KVBatchMeta(partition_id="train", keys=list("abcdefgh"), tags=tags)
    monkeypatch.setattr(trainer, "_assign_and_drop", lambda batch: balanced)
    metrics: dict[str, float] = {}
    found = trainer._balance_batch(KVBatchMeta(), metrics)
    assert found.keys == ["a", "c", "b", "d", "e", "g", "f", "h"]
    assert metrics == {"care/x": 1.0, "care/queue/rows": 5.0}


def actor_config(composed: Composed) -> DictConfig:
    return composed("actor_rollout_ref.actor.ppo_mini_batch_size=8")


def test_an_update_is_cut_by_number_not_by_size(composed: Composed) -> None:
    """After the drop nobody knows a mini-batch's size; 32 prompts in eights are 4 updates."""
    counts = {CLIPPED: [1.0, 2.0], TRAINED: [4.0, 8.0], RATIO: [1e-6]}
    answer = {"mfu": 0.5, "grad_norm": [1.0, 3.0], **counts}
    group, metrics = workers(answer), {}
    trainer = care_trainer(
        actor_config(composed),
        actor_rollout_wg=group,
        _step=step_of({"care/rows/updated": 3.0}),
    )
    batch = KVBatchMeta(partition_id="train", keys=["a"], tags=[{}])
    assert trainer._update_actor(batch, metrics) is batch
    assert group.sent == [batch]
    assert batch.extra_info["num_mini_batch"] == 4
    assert not {"mini_batch_size", "global_batch_size"} & set(batch.extra_info)
    assert metrics == {
        "perf/mfu/actor": 0.5,
        "actor/grad_norm": 2.0,
        "care/clip/negative_rate": 0.25,
        "care/ratio/first_deviation": 1e-6,
        "care/updates/skipped": 0.0,
    }


def test_skipped_optimizer_steps_are_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """verl skips a step whose gradient is not finite, and says so on standard output only."""
    assert skipped_updates([1.0, math.nan, math.inf]) == 2.0
    assert "2 of 3 optimizer steps were skipped" in caplog.text
    assert skipped_updates([1.0]) == 0.0


@pytest.mark.parametrize(("prompts", "limit"), [(1, 16), (8, 16), (32, 64)])
def test_failed_groups_of_a_step_have_a_limit(composed: Composed, prompts: int, limit: int) -> None:
    assert failed_groups_limit(composed(f"data.train_batch_size={prompts}")) == limit


def test_an_empty_update_is_left_out(composed: Composed) -> None:
    group = workers()
    trainer = care_trainer(
        actor_config(composed),
        actor_rollout_wg=group,
        _step=step_of({"care/rows/updated": 0.0}),
    )
    batch = KVBatchMeta(partition_id="train", keys=["a"], tags=[{}])
    assert trainer._update_actor(batch, {}) is batch
    assert group.sent == []


@pytest.mark.parametrize(("clipped", "trained", "rate"), [(3.0, 12.0, 0.25), (0.0, 0.0, 0.0)])
def test_clip_rate(clipped: float, trained: float, rate: float) -> None:
    metrics = {f"actor/{CLIPPED}": clipped, f"actor/{TRAINED}": trained, f"actor/{RATIO}": 1e-6}
    expected = {"actor/lr": 0.1, RATIO: 1e-6, "care/clip/negative_rate": rate}
    assert clip_rate({**metrics, "actor/lr": 0.1}) == expected


def test_scores_of_all_rows_win_over_those_of_the_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"critic/score/mean": 0.9, "timing_s/gen": 1.0, "critic/advantages/mean": 0.5}
    kept |= {"perf/total_num_tokens": 10.0, "perf/throughput": 2.0}

    def verls(
        trainer: Any, batch: Any, metrics: dict[str, float], *args: Any, **kwargs: Any
    ) -> None:
        metrics.update(kept)

    monkeypatch.setattr(PPOTrainerSync, "_compute_metrics", verls)
    rows = step_rows([("u", record(i, 1.0), [1.0]) for i in range(2)])
    own = {"critic/score/mean": 0.4, "care/rows/updated": 1.0}
    trainer = care_trainer(None, _step=step_of(own, rows))
    metrics: dict[str, float] = {}
    trainer._compute_metrics(None, metrics, {}, global_steps=1, epoch=0)
    assert metrics["critic/score/mean"] == 0.4
    assert (metrics["perf/total_num_tokens"], metrics["perf/throughput"]) == (20.0, 4.0)
    assert metrics["care/updated/critic/advantages/mean"] == 0.5


def fill(queue: MemoryQueue, lengths: Sequence[int]) -> tuple[KVBatchMeta, Any]:
    """All-right rows of these response lengths, with every field that verl's metrics read.

    A prompt is longer than its response by one token.
    """
    records = [("u", record(i, 1.0), [1.0]) for i in range(len(lengths))]
    tag = {"min_global_steps": 0, "max_global_steps": 0}
    tags = [{**tag, "prompt_len": 1 + n, "response_len": n, "seq_len": 1 + 2 * n} for n in lengths]
    rows = step_rows(records, tags=tags, masks=[[1] * n for n in lengths])
    for key, mask in zip(rows.keys, rows.masks, strict=True):
        queue.rows[key] = {
            "prompts": torch.ones(1 + len(mask), dtype=torch.int64),
            "responses": mask,
            "response_mask": mask,
            "loss_mask": mask,
            "rm_scores": mask.float(),
            "advantages": torch.zeros(len(mask)),
            "returns": torch.zeros(len(mask)),
            "num_turns": 2,
        }
    return KVBatchMeta(partition_id="train", keys=rows.keys, tags=tags), rows


def test_a_step_without_any_update_can_be_logged(composed: Composed, queue: MemoryQueue) -> None:
    """Only all-right groups: verl's own metrics must not fail on a batch of padding alone."""
    batch, rows = fill(queue, [5, 4, 3])
    kept, _ = drop_rows(batch, rows, torch.zeros(3), multiple=2)
    trainer = care_trainer(
        composed(),
        _step=step_of({"critic/score/mean": 1.0, "care/rows/updated": 0.0}, rows),
        use_critic=False,
        _rollout_moe_lb_metrics_accumulator=None,
    )
    trainer._get_n_gpus_for_throughput = lambda: 1
    metrics: dict[str, float] = {}
    trainer._compute_metrics(kept, metrics, {"step": 1.0, "gen": 0.5}, global_steps=1, epoch=0)
    assert metrics["critic/score/mean"] == 1.0
    assert metrics["training/global_step"] == 1
    assert not [name for name in metrics if name.startswith(("care/updated/", "critic/adv"))]


def test_verls_metrics_of_lengths_are_over_all_rows(composed: Composed, queue: MemoryQueue) -> None:
    """As verl itself gives them where nothing is dropped; responses of 5, 4 and 3 tokens.

    One row is kept, and one stays as padding: of 27 tokens verl sees 18, and of 12 decoded ones 8.
    Two GPUs, a step of 1 s, 0.5 s of it for decoding.
    """
    batch, rows = fill(queue, [5, 4, 3])
    advantage = torch.tensor([1.0, 0.0, 0.0])
    result = rows.advantages(CareConfig())
    trainer = care_trainer(
        composed(),
        _step=step_of(rows.metrics(result, CareConfig()) | {"care/rows/updated": 1.0}, rows),
        use_critic=False,
        _rollout_moe_lb_metrics_accumulator=None,
    )
    trainer._get_n_gpus_for_throughput = lambda: 2
    timing = {"step": 1.0, "gen": 0.5}
    undropped: dict[str, float] = {}
    PPOTrainerSync._compute_metrics(trainer, batch, undropped, timing, global_steps=1, epoch=0)
    kept, _ = drop_rows(batch, rows, advantage, multiple=2)
    metrics: dict[str, float] = {"actor/entropy": 0.7}
    trainer._compute_metrics(kept, metrics, timing, global_steps=1, epoch=0)
    assert metrics["perf/throughput"] == 13.5
    assert metrics["timing_per_token_ms/gen"] == pytest.approx(500 / 12)
    of_lengths = ("prompt_length", "response_length", "response/", "perf/", "timing_")
    compared = [name for name in undropped if name.startswith(of_lengths)]
    assert len(compared) > 15
    for name in compared:
        assert metrics[name] == pytest.approx(undropped[name]), name
    assert metrics["care/updated/actor/entropy"] == 0.7
    assert "actor/entropy" not in metrics


@pytest.mark.parametrize("votes", [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
def test_a_mini_batch_is_divided_by_its_rows_in_s_star(
    monkeypatch: pytest.MonkeyPatch, votes: list[float]
) -> None:
    """A mini-batch of padding alone must not be divided by zero: verl's KL would be 0/0.

    Rows outside S* arrive with empty masks, whatever they came with: that KL takes in every row
    that has one.
    """
    seen: list[Any] = []
    monkeypatch.setattr(TrainingWorker, "train_batch", lambda worker, data: seen.append(data))
    worker: Any = object.__new__(CareTrainingWorker)
    worker.engine = SimpleNamespace(get_data_parallel_group=lambda: None)
    worker.device_name = "cpu"
    masks = [torch.ones(length, dtype=torch.int64) for length in (2, 3, 1)]
    nested = {name: torch.nested.as_nested_tensor(masks, layout=torch.jagged) for name in MASKS}
    data = tu.get_tensordict({IN_S_STAR: torch.tensor(votes)[:, None], **nested}, {})
    worker.train_batch(data)
    (data,) = seen
    assert tu.get(data, "global_batch_size") == max(1, sum(votes))
    for name in MASKS:
        kept = [mask.float().mean().item() for mask in data[name].unbind()]
        assert kept == votes


def test_padding_is_still_known_as_padding_after_a_write(queue: MemoryQueue) -> None:
    """verl's own write of the old log-probabilities returns the tags that the queue has."""
    batch, rows = fill(queue, [5, 4, 3])
    kept, _ = drop_rows(batch, rows, torch.tensor([1.0, 0.0, 0.0]), multiple=2)
    written = queue.kv_batch_put(keys=kept.keys, partition_id="train")
    assert kept.keys == ["u_0_0", "u_2_0"]
    assert [bool(tag.get("is_padding")) for tag in written.tags] == [False, True]
