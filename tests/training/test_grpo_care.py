"""GRPO-CARE's adapters: one flag, a step's rows, the trainer on a queue in memory.

That the pieces make a training run is shown end to end; how the reference moves is in
`test_moving_reference`.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.algorithm.spans import TagSpec, answer_tokens, token_spans
from care_verl.training.actor_classes import plain_class
from care_verl.training.group_worker import GroupWorker
from care_verl.training.grpo_care.agent_loop import GrpoCareAgentLoopWorker
from care_verl.training.grpo_care.rows import GRPO_CARE, AnsweredRow, ScoredStep, read_share
from care_verl.training.grpo_care.trainer import GrpoCareTrainer
from care_verl.training.grpo_care.worker import GrpoCareActorRolloutRefWorker
from care_verl.training.reward_manager import CareRewardManager
from tests.validation import validate

from .samples import MALFORMED, WELL_FORMED, MemoryQueue, agent_output, answered

Composed = Callable[..., DictConfig]

FLAG = "algorithm.adv_estimator=grpo_care"


def test_one_flag_turns_everything_on(composed: Composed) -> None:
    config = validate(composed(FLAG))
    actor, ref = config.actor_rollout_ref.actor, config.actor_rollout_ref.ref
    assert config.trainer.v1.trainer_mode == "care_verl_plugin_grpo_care"
    assert config.algorithm.grpo_care == GrpoCareConfig().to_mapping()
    assert (actor.policy_loss.loss_mode, actor.use_kl_loss) == ("vanilla", False)
    assert actor.loss_agg_mode == "seq-mean-token-mean"
    assert actor.clip_ratio_c == 1e9
    assert config.reward.reward_manager.name == "CareRewardManager"
    manager = config.actor_rollout_ref.rollout.agent.agent_loop_manager_class
    assert manager.endswith("GrpoCareAgentLoopManager")
    assert "care_harvest" not in (config.actor_rollout_ref.rollout.get("custom") or {})
    assert (ref.checkpoint.save_contents, ref.checkpoint.load_contents) == (["model"], ["model"])
    assert ref.log_prob_micro_batch_size_per_gpu == 4


def test_cares_own_flag_gets_none_of_it(composed: Composed) -> None:
    config = validate(composed("algorithm.adv_estimator=care"))
    assert "grpo_care" not in config.algorithm
    assert config.actor_rollout_ref.actor.clip_ratio_c == 3.0


def test_the_usual_clips_and_a_users_reward_are_kept(composed: Composed) -> None:
    lines = ["actor_rollout_ref.actor.clip_ratio_high=0.3", "reward.custom_reward_function.path=/x"]
    config = validate(composed(FLAG, *lines))
    assert config.actor_rollout_ref.actor.clip_ratio_high == 0.3
    assert config.reward.reward_manager.name == "naive"


@pytest.mark.parametrize(
    ("override", "key", "also"),
    [
        ("+algorithm.grpo_care.marign=0", "algorithm.grpo_care.marign", "margin"),
        ("+algorithm.grpo_care.decay=1.5", "algorithm.grpo_care.decay", "[0, 1]"),
        ("+algorithm.grpo_care.every=0", "algorithm.grpo_care.every", ">= 1"),
        ("+algorithm.grpo_care.records.every=-1", "algorithm.grpo_care.records.every", ">= 0"),
        ("+algorithm.grpo_care.records.evry=1", "algorithm.grpo_care.records.evry", "every"),
        ("+algorithm.grpo_care.think_tag=answer", "algorithm.grpo_care.answer_tag", "different"),
        ("actor_rollout_ref.actor.use_kl_loss=True", "actor.use_kl_loss", "no KL penalty"),
        ("algorithm.use_kl_in_reward=True", "algorithm.use_kl_in_reward", "no KL penalty"),
        ("actor_rollout_ref.model.lora_rank=8", "model.lora_rank", "without its adapter"),
        (
            "actor_rollout_ref.ref.fsdp_config.model_dtype=bf16",
            "ref.fsdp_config.model_dtype",
            "lost in 16 bits",
        ),
        ("actor_rollout_ref.actor.policy_loss.loss_mode=gspo", "loss_mode", "gspo"),
        ("actor_rollout_ref.rollout.name=sglang", "rollout.name", "vllm"),
        ("algorithm.filter_groups.enable=True", "filter_groups.enable", "the bonus"),
        ("algorithm.rollout_correction.rollout_is=token", "rollout_is", "token"),
        ("trainer.use_v1=False", "trainer.use_v1", "False"),
        ("reward.reward_model.enable=True", "reward.reward_model.enable", "enable_resource_pool"),
        ("actor_rollout_ref.rollout.full_determinism=True", "full_determinism", "seeded=True"),
        ("critic.enable=True", "critic.enable", "no critic"),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    composed: Composed, override: str, key: str, also: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(key)) as refusal:
        validate(composed(FLAG, override))
    assert also in str(refusal.value)


def test_another_estimator_is_left_alone(composed: Composed) -> None:
    config = composed("algorithm.adv_estimator=grpo", "+algorithm.grpo_care.margin=7")
    before = copy.deepcopy(OmegaConf.to_container(config))
    assert OmegaConf.to_container(validate(config)) == before


@pytest.mark.parametrize(
    ("line", "lam", "think_tag"),
    [
        ("+algorithm.grpo_care={lam: 0.5, think_tag: reasoning}", 0.5, "reasoning"),
        ("+algorithm.care={lam: 0.3}", 0.1, "think"),
    ],
)
def test_the_reward_reads_the_settings_of_the_method(
    composed: Composed, tokenizer: Any, line: str, lam: float, think_tag: str
) -> None:
    manager = CareRewardManager(validate(composed(FLAG, line)), tokenizer)
    assert (manager._lam, manager._tags.think_tag) == (lam, think_tag)


@pytest.mark.parametrize(
    ("pieces", "inside", "carrying"),
    [
        (WELL_FORMED, (5, 6), (5, 6)),
        # As Qwen's vocabulary may cut `<answer>A</answer>`: the letter shares a token with a tag.
        ((b"<", b"answer", b">A", b"</", b"answer", b">", b""), (3, 3), (2, 3)),
        ((b"<answer>", b"4", b"2</", b"answer>"), (1, 2), (1, 3)),
        ((b"<answer>8</answer>",), (1, 1), (0, 1)),
        ((b"<answer>", b"4", b"2", b""), (1, 3), (1, 3)),
        ((b"<answer></", b"answer>"), (1, 1), None),
        ((b"<answer>", b""), (1, 1), None),
        (MALFORMED, None, None),
        ((b"<answer>1</answer>", b"<answer>", b"2", b"</answer>"), (2, 3), (2, 3)),
    ],
)
def test_tokens_that_carry_an_answer(
    pieces: Sequence[bytes], inside: tuple[int, int] | None, carrying: tuple[int, int] | None
) -> None:
    spans = token_spans(pieces, TagSpec())
    found = answer_tokens(pieces, TagSpec(), spans)
    assert (spans.answer, found) == (inside, carrying)


@pytest.mark.parametrize("acc", [0, 1, 0.25, True])
def test_accuracies_may_be_partial(acc: float) -> None:
    assert read_share({"reward_extra_info": {"acc": acc}}, "a reward") == acc


@pytest.mark.parametrize("acc", [1.5, -0.1, math.nan, "1", None])
def test_other_accuracies_are_refused(acc: Any) -> None:
    with pytest.raises(ValueError, match=r"a reward: acc is .* expected a number from 0 to 1"):
        read_share({"reward_extra_info": {"acc": acc}}, "a reward")


def test_a_row_survives_the_queue() -> None:
    """JSON, which knows no tuples either, stands for the queue's own encoding."""
    for row in (answered(2, 1.0, 0.9, (3, 5), rule="exact"), answered(0, 0.0, 0.0, None)):
        assert AnsweredRow.from_mapping(json.loads(json.dumps(row.to_mapping()))) == row


def scored_step(
    keys: list[str], rows: list[AnsweredRow], masks: list[Tensor], log_probs: list[Tensor]
) -> ScoredStep:
    extra_fields = [{GRPO_CARE: row.to_mapping()} for row in rows]
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


def bare_trainer(**attributes: Any) -> Any:
    trainer: Any = object.__new__(GrpoCareTrainer)
    trainer.settings, trainer._step = GrpoCareConfig(), None
    for name, value in attributes.items():
        setattr(trainer, name, value)
    return trainer


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
    for i, (key, row) in enumerate(zip(step.keys, step.rows, strict=True)):
        tokens = 3 + i
        mask = torch.ones(tokens, dtype=torch.int64)
        likelihood = float(step.result.likelihood[i])
        queue.rows[key] = {
            "extra_fields": {GRPO_CARE: row.to_mapping()},
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

    def verls(trainer: Any, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
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
    state = {"optimizer_steps": 12, "updates": 1, "skipped": 2, "distance": 0.5}
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


def test_a_dump_says_what_became_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding has nothing to tell, and validation rows are none of the step's."""
    dumped: list[dict[str, list[Any]]] = []
    monkeypatch.setattr(
        PPOTrainerSync,
        "_dump_generations",
        lambda trainer, reward_extra_infos_dict, dump_path: dumped.append(reward_extra_infos_dict),
    )
    trainer = bare_trainer(_step=scored())
    keys = ["u_0_0", "pad_0_0"]
    trainer._dump_generations(reward_extra_infos_dict={"uid": keys}, dump_path="a folder")
    trainer._dump_generations(reward_extra_infos_dict={"uid": ["v_0_0"]}, dump_path="a folder")
    assert dumped[0]["uid"] == keys
    assert dumped[0]["bonus"] == [0.5, None]
    assert dumped[0]["answer_likelihood"] == [pytest.approx(0.8), None]
    assert dumped[1] == {"uid": ["v_0_0"]}


RIGHT = "<think>red3 blue5</think><answer>8</answer><|im_end|>"
WRONG = "<think>red3 blue6</think><answer>9</answer><|im_end|>"
Script = Sequence[str | Exception]


@pytest.fixture
def rollout(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any, queue: MemoryQueue
) -> Callable[[Script], GrpoCareAgentLoopWorker]:
    """A function: what the sessions of one prompt decode -> their worker, which has run them."""
    base: Any = GroupWorker.__mro__[1]

    def run(script: Script) -> GrpoCareAgentLoopWorker:
        async def run_agent_loop(
            worker: Any, sampling_params: dict[str, Any], trajectory: dict[str, Any], **kwargs: Any
        ) -> None:
            worker.asked.append(sampling_params)
            del kwargs["trace"]
            decoded = script[kwargs["session_id"]]
            if isinstance(decoded, Exception):
                raise decoded
            output = agent_output(tokenizer.encode(decoded))
            await worker._agent_loop_postprocess(output, trajectory["validate"], **kwargs)

        async def compute_score(
            worker: Any, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]
        ) -> None:
            if outputs[-1].reward_score is None:
                acc = float("<answer>8" in tokenizer.decode(outputs[-1].response_ids))
                outputs[-1].reward_score = acc
                outputs[-1].extra_fields["reward_extra_info"] = {"acc": acc, "rule": "number"}

        def construct(worker: Any) -> None:
            settings = {"n": len(script), "val_kwargs": {"n": len(script)}, "seed": 7}
            worker.config = OmegaConf.create(
                {
                    "actor_rollout_ref": {"rollout": settings},
                    "algorithm": {"adv_estimator": "grpo_care", "grpo_care": {"seeded": True}},
                }
            )
            worker.tokenizer, worker.processor = tokenizer, None
            worker.model_config = SimpleNamespace(
                generation_config=SimpleNamespace(eos_token_id=None)
            )
            worker.llm_client, worker.distillation_enabled, worker.asked = None, False, []

        monkeypatch.setattr(base, "_run_agent_loop", run_agent_loop)
        monkeypatch.setattr(base, "_compute_score", compute_score)
        monkeypatch.setattr(base, "__init__", construct)
        worker = GrpoCareAgentLoopWorker()
        prompt = {"uid": "u", "global_steps": 4, "agent_name": "single_turn_agent"}
        asyncio.run(worker._run_prompt(prompt, {"temperature": 1.0}, {"validate": False}))
        return worker

    return run


def test_rows_carry_their_accuracy_and_where_their_answer_is(
    rollout: Callable[[Script], Any], queue: MemoryQueue
) -> None:
    """`<think>`, red, 3, blue, 5, `</think>`, `<answer>`, 8, `</answer>`, end: 8 is at 7."""
    worker = rollout([RIGHT, WRONG, "no tags"])
    rows = [
        AnsweredRow.from_mapping(queue.rows[f"u_{i}_0"]["extra_fields"][GRPO_CARE])
        for i in range(3)
    ]
    found = [(row.session, row.acc, row.reward, row.answer, row.rule) for row in rows]
    assert found[:2] == [(0, 1.0, 1.0, (7, 8), "number"), (1, 0.0, 0.0, (7, 8), "number")]
    assert rows[0].spans.rationale == (1, 5)
    # Each token of `agent_output` has -0.5.
    assert rows[0].logp == -0.5 * len(queue.rows["u_0_0"]["responses"])
    assert (rows[2].answer, rows[2].spans.rationale) == (None, None)
    assert queue.events[-1] == ("u", "finished")
    assert len({params["seed"] for params in worker.asked}) == 3
    assert all("care_harvest" not in params for params in worker.asked)


def test_a_group_that_lost_a_session_is_discarded_whole(
    rollout: Callable[[Script], Any], queue: MemoryQueue
) -> None:
    rollout([RIGHT, ValueError("no response")])
    assert queue.rows == {}
    assert queue.reports == {"u": "session 1 of prompt u: ValueError: no response"}
