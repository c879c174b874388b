"""verl 0.9.1's seams that `care_verl.training` hooks into.

Where a hook replaces a method, its body's order or names are asserted as source fragments, in
their order; where verl computes something for CARE, it is called. A failure names the seam, so
that it says which adapter to look at before any run goes wrong. That the seams together make a
training run is shown end to end only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from transfer_queue.metadata import BatchMeta
from verl.experimental.agent_loop.agent_loop import (
    AgentLoopManager,
    AgentLoopMetrics,
    AgentLoopOutput,
    AgentLoopWorker,
)
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.trainer.main_ppo import TaskRunnerV1
from verl.trainer.ppo.core_algos import (
    ADV_ESTIMATOR_REGISTRY,
    POLICY_LOSS_REGISTRY,
    agg_loss,
)
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.trainer.ppo.reward import load_reward_manager, resolve_reward_manager_cls
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.checkpoint.checkpoint_manager import BaseCheckpointManager
from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager
from verl.utils.config import validate_config
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.utils.metric import AggregationType, Metric
from verl.utils.py_functional import rename_dict
from verl.utils.tensordict_utils import list_of_dict_to_tensordict
from verl.workers.config import ActorConfig
from verl.workers.config.actor import PolicyLossConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine, FSDPEngineWithLMHead
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker
from verl.workers.rollout.llm_server import LLMServerClient
from verl.workers.rollout.replica import RolloutReplicaRegistry
from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer
from verl.workers.utils.losses import ppo_loss

from care_verl.training import (
    agent_loop,
    group_worker,
    run_trainer,
    run_worker,
    trainer,
    worker,
)
from care_verl.training.configuration import ESTIMATOR, POLICY_LOSS, TRAINER_MODE
from care_verl.training.policy_loss import care_policy_loss
from care_verl.training.recipes import RecipeSearchPath
from care_verl.training.recording import held_step
from care_verl.training.reward_manager import CareRewardManager

from .seams import require_fragments, require_parameters


def plain(actor_class: Any) -> Any:
    """The class behind a Ray actor class, by the way that CARE takes."""
    return actor_class.__ray_metadata__.modified_class.__ray_actor_class__


WORKER_TQ = plain(AgentLoopWorkerTQ)

# (who relies on it, verl's function, fragments of its source in their order)
SOURCES: dict[str, tuple[str, Any, Sequence[str]]] = {
    "a prompt's status follows its sessions": (
        "training.agent_loop",
        WORKER_TQ._run_prompt,
        [
            'n = prompt.pop("__rollout_n__", config.n',
            "self._run_agent_loop(",
            "session_id=i, **prompt",
            "await _settle_session_tasks(tasks)",
            'status = "failure"',
            'status = "finished"',
            'tag={"status": status}',
        ],
    ),
    "a session ends in the postprocess, with its fields": (
        "training.agent_loop",
        AgentLoopWorker._run_agent_loop,
        [
            "server_manager=self.llm_client",
            "await agent_loop.run(sampling_params, **kwargs)",
            'self._agent_loop_postprocess(output, trajectory["validate"], **kwargs)',
        ],
    ),
    "the postprocess scores, then puts {uid}_{session}_{index}": (
        "training.agent_loop",
        WORKER_TQ._agent_loop_postprocess,
        [
            "await self._compute_score(outputs, kwargs=kwargs)",
            'keys.append(f"{uid}_{session_id}_{i}")',
            "output.as_dict()",
            "field.update(kwargs)",
            '"prompt_len": prompt_len',
            '"response_len": response_len',
            '"seq_len": prompt_len + response_len',
            'partition_id="train" if not validate else "val"',
        ],
    ),
    "a scored output is left alone": (
        "training.agent_loop",
        AgentLoopWorker._compute_score,
        [
            "if final_output.reward_score is None and enable_async_reward",
            "self._compute_multi_modal_inputs(output, input_ids)",
            'final_output.reward_score = result["reward_score"]',
            'final_output.extra_fields["reward_extra_info"] = result["reward_extra_info"]',
        ],
    ),
    "sampling parameters ask for log-probabilities": (
        "training.configuration",
        WORKER_TQ.generate_sequences,
        ["sampling_params = dict(", "logprobs=config.calculate_log_probs"],
    ),
    "rows share columns by what was set": (
        "training.group_stage",
        AgentLoopOutput.as_dict,
        ["self.model_dump(exclude_unset=True)", 'output["rollout_log_probs"]'],
    ),
    "the manager names its worker class": (
        "training.agent_loop",
        AgentLoopManagerTQ.__init__,
        ["self.agent_loop_workers_class = AgentLoopWorkerTQ", "super().__init__(*args, **kwargs)"],
    ),
    "the manager starts that class": (
        "training.agent_loop",
        AgentLoopManager._init_agent_loop_workers,
        ["self.agent_loop_workers = []", "self.agent_loop_workers_class.options("],
    ),
    "the manager is chosen by name": (
        "training.configuration",
        plain(TaskRunnerV1).init_agent_loop_manager,
        ['.get("agent_loop_manager_class")', "load_class_from_fqn(manager_class_fqn"],
    ),
    "the trainer is chosen by its mode": (
        "training.hooks",
        plain(TaskRunnerV1).run,
        ["get_trainer_cls(config.trainer.v1.trainer_mode)"],
    ),
    "the mode selects the replay buffer": (
        "training.trainer",
        PPOTrainer._build_replay_buffer,
        ['ReplayBuffer if self.trainer_mode == "sync" else ReplayBufferAsync'],
    ),
    "the trainer reads its mode once, before the buffer": (
        "training.trainer",
        PPOTrainer.__init__,
        [
            "self.trainer_mode = self.config.trainer.v1.trainer_mode",
            "self.replay_buffer = self._build_replay_buffer()",
        ],
    ),
    "prompts are drawn in chunks and named": (
        "training.trainer",
        PPOTrainer._fetch_one_gen_batch,
        ['batch_dict["uid"] = np.array([str(uuid.uuid4())', "return tu.get_tensordict(batch_dict)"],
    ),
    "every chunk of a step passes there": (
        "training.trainer",
        PPOTrainer._next_train_batch,
        ["self._fetch_one_gen_batch() for _ in range(", '"global_steps", self.global_steps'],
    ),
    "a server takes the seed that it is given": (
        "training.seeding",
        vLLMHttpServer.generate,
        ['sampling_params.setdefault("seed"', "SamplingParams(max_tokens=max_tokens, **samp"],
    ),
    "a save ends with the tracker, then tells the callback": (
        "training.checkpointing.saving",
        PPOTrainer._save_checkpoint,
        [
            'self.config.trainer.default_local_dir, f"global_step_{self.global_steps}"',
            'self.config.trainer.get("remove_previous_ckpt_in_save", False)',
            'self.config.trainer.get("max_actor_ckpt_to_keep", None)',
            "max_ckpt_to_keep=max_actor_ckpt_to_keep",
            'os.path.join(local_global_step_folder, "data.pt")',
            "torch.save(self.train_dataloader.state_dict(), dataloader_local_path)",
            '"latest_checkpointed_iteration.txt"',
            "self.checkpoint_callback.on_save(",
        ],
    ),
    "a load takes the folder that it is told": (
        "training.checkpointing.saving",
        PPOTrainer._load_checkpoint,
        [
            'self.config.trainer.resume_mode == "disable"',
            'self.config.trainer.resume_mode == "resume_path"',
            "global_step_folder = self.config.trainer.resume_from_path",
            'int(global_step_folder.split("global_step_")[-1])',
            "self.actor_rollout_wg.load_checkpoint(",
            "self.train_dataloader.load_state_dict(dataloader_state_dict)",
        ],
    ),
    "without a limit no checkpoint is removed": (
        "training.checkpointing.saving",
        BaseCheckpointManager.register_checkpoint,
        ["if not (max_ckpt_to_keep and isinstance(max_ckpt_to_keep, int)", "return"],
    ),
    "weights, optimizer, learning rate and random states are saved": (
        "training.checkpointing.saving",
        FSDPCheckpointManager.save_checkpoint,
        [
            "self.ensure_checkpoint_capacity(max_ckpt_to_keep)",
            "torch.save(model_state_dict, model_path)",
            "torch.save(optimizer_state_dict, optim_path)",
            '"lr_scheduler": lr_scheduler_state_dict',
            '"rng": self.get_rng_state()',
            "self.register_checkpoint(local_path, max_ckpt_to_keep)",
        ],
    ),
    "one step": (
        "training.trainer",
        PPOTrainer._step_once,
        [
            "self.replay_buffer.sample(",
            "self._balance_batch(batch, metrics=metrics)",
            "self._compute_old_log_prob(batch, metrics=metrics)",
            "self._compute_ref_log_prob(batch, metrics=metrics)",
            "self._compute_advantage(batch, metrics=metrics)",
            "self._update_actor(batch, metrics=metrics)",
        ],
    ),
    "the balanced batch is padded to our multiple": (
        "training.trainer",
        PPOTrainer._balance_batch,
        [
            "worker_group._query_dispatch_info(role)",
            "worker_group._dispatch_info[role]",
            "dp_size = max(dp_rank_mapping) + 1",
            "self._get_required_batch_multiple(dp_size)",
            "upsample_batch_to_divisible_size(batch, batch_multiple",
            'tag["seq_len"]',
            "batch.reorder([j for partition in global_partition_lst for j in partition])",
        ],
    ),
    "what an update is told": (
        "training.trainer",
        PPOTrainer._update_actor,
        [
            '"calculate_entropy": calculate_entropy',
            '"distillation_use_topk": distillation_use_topk',
            '"distillation_only": distillation_only',
            '"epochs": self.config.actor_rollout_ref.actor.ppo_epochs',
            '"seed": self.config.actor_rollout_ref.actor.data_loader_seed',
            '"dataloader_kwargs": {"shuffle"',
            '"temperature": self.config.actor_rollout_ref.rollout.temperature',
            "self.actor_rollout_wg.update_actor(batch)",
            'rename_dict(output["metrics"], "actor/")',
            'output.pop("actor/mfu")',
            "reduce_metrics(output)",
        ],
    ),
    "the order of a step's end": (
        "training.trainer",
        PPOTrainer.fit,
        [
            "self.timing_raw = {}",
            "batch = self.step(metrics, self.timing_raw)",
            "self._compute_metrics(batch, metrics, self.timing_raw",
            "self._log_rollout_data(batch, self.timing_raw, rollout_data_dir)",
            "tq.kv_clear(keys=batch.keys",
            "self.logger.log(data=metrics, step=self.global_steps)",
        ],
    ),
    "the first step comes behind the one that was loaded": (
        "training.recording.recorder",
        PPOTrainer.fit,
        ["self.global_steps += 1", "self.on_train_begin()", "batch = self.step("],
    ),
    "all of a step's own metrics are known when the last are computed": (
        "training.recording.recorder",
        PPOTrainer.fit,
        [
            "metrics.update(self._consume_sync_metrics())",
            "metrics.update(val_metrics)",
            "self._compute_metrics(batch, metrics",
            "metrics.pop(DAPO_FILTERED_REWARD_COUNTS_KEY, None)",
            "self.logger.log(data=metrics",
        ],
    ),
    "the trainer has the tokenizer": (
        "training.recording.recorder",
        PPOTrainer._init_tokenizer,
        ["self.tokenizer = model_config.tokenizer"],
    ),
    "a row of the queue has its prompt as the dataset gives it": (
        "training.recording.held_step",
        RLHFDataset.__getitem__,
        ['row_dict["raw_prompt"] = self._build_messages(', 'row_dict["index"] = index'],
    ),
    "a session measures its decoding": (
        "training.recording.held_step",
        SingleTurnAgentLoop.run,
        ['simple_timer("generate_sequences", metrics)', "metrics=metrics"],
    ),
    "the queue returns those fields that it has": (
        "training.recording.held_step",
        BatchMeta.select_fields,
        ["for field_name in field_names", "if field_name in self.field_schema"],
    ),
    "padding is told by a tag": (
        "training.dropping",
        PPOTrainer._compute_metrics,
        ['tag.get("is_padding", False)', '"response_mask"', '"advantages"', '"returns"'],
    ),
    "which actor the trainer starts": (
        "training.trainer",
        PPOTrainer._init_resource_pool_mgr,
        ["self.role_worker_mapping[role] = ray.remote(ActorRolloutRefWorker)"],
    ),
    "which worker the actor builds": (
        "training.worker",
        ActorRolloutRefWorker.init_model,
        [
            "partial(ppo_loss, config=actor_config)",
            "self.actor = self.actor_worker_cls(config=actor_training_config)",
        ],
    ),
    "old log-probabilities are the actor's": (
        "training.oracle",
        ActorRolloutRefWorker.compute_log_prob,
        ["self.actor.infer_batch(data)"],
    ),
    "the reference is another worker": (
        "training.oracle",
        ActorRolloutRefWorker.compute_ref_log_prob,
        ["self.ref.infer_batch(data=data)"],
    ),
    "an update is cut into mini-batches": (
        "training.worker",
        ActorRolloutRefWorker.update_actor,
        ["self.actor.train_mini_batch(data=data)"],
    ),
    "each mini-batch passes train_batch": (
        "training.worker",
        TrainingWorker.train_mini_batch,
        [
            'num_mini_batch = tu.pop(data, key="num_mini_batch"',
            "if mini_batch_size is None",
            "mini_batch_size_per_gpu = batch_size_per_dp // num_mini_batch",
            "actor_output = self.train_batch(mini_batch_td)",
        ],
    ),
    "the loss sees the global batch": (
        "training.policy_loss",
        ppo_loss,
        [
            'config.global_batch_info["dp_size"] = data["dp_size"]',
            'config.global_batch_info["global_batch_size"] = data["global_batch_size"]',
            "policy_loss_fn(",
            "Metric.from_dict(pg_metrics, aggregation=AggregationType.MEAN)",
            "loss_agg_mode=config.loss_agg_mode, **config.global_batch_info",
        ],
    ),
    "the engine counts ranks, not rows": (
        "training.worker",
        FSDPEngine.forward_backward_batch,
        ["dp_size=self.get_data_parallel_size()", "self.forward_step(micro_batch"],
    ),
    "model outputs are prepared after the forward pass": (
        "training.oracle",
        FSDPEngineWithLMHead.forward_step,
        [
            "raw_output = self.module(",
            "self.prepare_model_outputs(",
            "micro_batch=micro_batch",
            '"model_output": detach_tree(model_output)',
        ],
    ),
    "the buffer polls where we check": (
        "training.liveness",
        ReplayBuffer.sample,
        ["last_debug_time = self._wait_for_next_poll(partition_id, last_debug_time)"],
    ),
    "a failed group is refilled when no row of it is left": (
        "training.failures",
        ReplayBuffer._terminal_eviction_reasons,
        ["failed_uids = self.failure_keys[partition_id] - materializable_uids"],
    ),
    "the buffer's snapshot holds every partition": (
        "training.failures",
        ReplayBuffer._sync_metadata_from_transfer_queue,
        ["data = tq.kv_list()", "for partition_id, items in data.items()"],
    ),
    "a prompt is published when every session has settled": (
        "training.failures",
        WORKER_TQ._run_prompt,
        ["session_errors = await _settle_session_tasks(tasks)", 'status = "failure"'],
    ),
    "images are opened where they have bytes": (
        "training.dataset",
        RLHFDataset._build_messages,
        ['if "bytes" in image:', 'content_list.append({"type": "image", **image})'],
    ),
    "agent loops decode through the dataset's class": (
        "training.dataset",
        RLHFDataset.process_multi_modal_info,
        ["lambda: cls._process_multi_modal_info(messages"],
    ),
    "a gradient that is not finite is not applied": (
        "training.trainer",
        FSDPEngine.optimizer_step,
        ["if not torch.isfinite(grad_norm):", "self.optimizer.zero_grad()"],
    ),
    "the buffer sleeps as long as it is told": (
        "training.trainer",
        ReplayBuffer._wait_for_next_poll,
        ["time.sleep(self.poll_interval)"],
    ),
    "tags of a row are merged": (
        "training.agent_loop",
        ReplayBuffer._sync_metadata_from_transfer_queue,
        ["partition[key].update(tag)"],
    ),
    "rewards come from the configured manager": (
        "training.reward_manager",
        RewardLoopWorker,
        ["load_reward_manager(", "await self.reward_manager.run_single(data)"],
    ),
}


@pytest.mark.parametrize("seam", SOURCES)
def test_source(seam: str) -> None:
    user, target, fragments = SOURCES[seam]
    require_fragments(seam, user, target, fragments)


# (verl's function, its parameters)
SIGNATURES: dict[str, tuple[Callable[..., Any], str]] = {
    "agent_loop._run_prompt": (
        WORKER_TQ._run_prompt,
        "self, prompt, sampling_params, trajectory, trace",
    ),
    "dataset._build_messages": (RLHFDataset._build_messages, "self, example, key"),
    "dataset._process_multi_modal_info": (
        RLHFDataset._process_multi_modal_info,
        "messages, image_patch_size, config",
    ),
    "failures.sample": (ReplayBuffer.sample, "self, global_steps, partition_id, batch_size"),
    "agent_loop._run_agent_loop": (
        WORKER_TQ._run_agent_loop,
        "self, sampling_params, trajectory, agent_name, trace, kwargs",
    ),
    "agent_loop._agent_loop_postprocess": (
        WORKER_TQ._agent_loop_postprocess,
        "self, output, validate, kwargs",
    ),
    "agent_loop._compute_score": (WORKER_TQ._compute_score, "self, outputs, kwargs"),
    "agent_loop._compute_multi_modal_inputs": (
        WORKER_TQ._compute_multi_modal_inputs,
        "self, output, input_ids",
    ),
    "harvesting.generate": (
        LLMServerClient.generate,
        "self, request_id, prompt_ids, sampling_params, image_data, video_data, audio_data, "
        "mm_processor_kwargs, kwargs",
    ),
    "hooks.validate_config": (
        inspect.unwrap(validate_config),
        "config, use_reference_policy, use_critic",
    ),
    "trainer.__init__": (PPOTrainerSync.__init__, "self, config"),
    "trainer.fit": (PPOTrainer.fit, "self, agent_loop_manager"),
    "trainer._setup": (PPOTrainer._setup, "self"),
    "trainer._balance_batch": (
        PPOTrainer._balance_batch,
        "self, batch, metrics, logging_prefix, keep_minibatch",
    ),
    "trainer._get_required_batch_multiple": (
        PPOTrainer._get_required_batch_multiple,
        "self, dp_size",
    ),
    "trainer._compute_old_log_prob": (
        PPOTrainer._compute_old_log_prob,
        "self, batch, metrics",
    ),
    "trainer._compute_advantage": (PPOTrainer._compute_advantage, "self, batch, metrics"),
    "trainer._update_actor": (PPOTrainer._update_actor, "self, batch, metrics"),
    "trainer._compute_metrics": (
        PPOTrainer._compute_metrics,
        "self, batch, metrics, timing_raw, global_steps, epoch",
    ),
    "trainer._log_rollout_data": (
        PPOTrainer._log_rollout_data,
        "self, batch, timing_raw, rollout_data_dir",
    ),
    "worker.train_batch": (TrainingWorker.train_batch, "self, data"),
    "worker.infer_batch": (TrainingWorker.infer_batch, "self, data"),
    "oracle.prepare_model_outputs": (
        FSDPEngineWithLMHead.prepare_model_outputs,
        "self, output, output_args, micro_batch, logits_processor_func",
    ),
    "liveness._wait_for_next_poll": (
        ReplayBuffer._wait_for_next_poll,
        "self, partition_id, last_debug_time",
    ),
    "reward_manager.__init__": (
        RewardManagerBase.__init__,
        "self, config, tokenizer, compute_score",
    ),
    "reward_manager.run_single": (RewardManagerBase.run_single, "self, data"),
    "replica.register": (RolloutReplicaRegistry.register, "name, loader"),
}


@pytest.mark.parametrize("seam", SIGNATURES)
def test_signature(seam: str) -> None:
    require_parameters(seam, *SIGNATURES[seam])


def test_plain_classes_stand_behind_the_actor_classes() -> None:
    """Ray forbids to subclass an actor class; these are what CARE subclasses or recognises."""
    assert issubclass(WORKER_TQ, AgentLoopWorker)
    assert group_worker.GroupWorker.__mro__[1] is WORKER_TQ
    assert run_worker.plain_class(ray.remote(ActorRolloutRefWorker)) is ActorRolloutRefWorker
    assert run_worker.plain_class(AgentLoopWorkerTQ) is WORKER_TQ


@pytest.mark.parametrize(
    ("ours", "base"),
    [
        (group_worker.GroupWorker, WORKER_TQ),
        (agent_loop.CareAgentLoopWorker, group_worker.GroupWorker),
        (run_trainer.RunTrainer, PPOTrainerSync),
        (trainer.CareTrainer, PPOTrainerSync),
        (run_worker.RunTrainingWorker, TrainingWorker),
        (run_worker.RunActorRolloutRefWorker, ActorRolloutRefWorker),
        (worker.CareTrainingWorker, TrainingWorker),
        (worker.CareActorRolloutRefWorker, ActorRolloutRefWorker),
        (CareRewardManager, RewardManagerBase),
    ],
)
def test_every_override_has_something_to_override(ours: type, base: type) -> None:
    """A method that verl calls must exist in verl, or CARE's would never be called."""
    own = {
        "_opens_rationale", "_publish", "_record", "_reflect", "_decode", "_note_skipped", "_piece",
        "_close", "_complete", "_new_group", "_put", "_rollout_params", "_settled",
        "_assign_and_drop", "_read_rows", "_dump_all_rows",
        "_remove_folders", "remove_folders", "_around_steps", "_score", "_response_text",
    }  # fmt: skip
    functions = {name for name, value in vars(ours).items() if inspect.isfunction(value)}
    missing = {name for name in functions - own if not hasattr(base, name)}
    assert not missing, f"{ours.__name__} overrides {missing}, which {base.__name__} has not"


def test_the_workers_calls_need_no_dispatch() -> None:
    """verl calls what `CareTrainingWorker` overrides within the actor, not from the driver."""
    assert worker.CareActorRolloutRefWorker.actor_worker_cls is worker.CareTrainingWorker
    assert ActorRolloutRefWorker.actor_worker_cls is TrainingWorker
    assert "self.actor.train_mini_batch(" in inspect.getsource(ActorRolloutRefWorker.update_actor)
    scored = inspect.getsource(ActorRolloutRefWorker.compute_log_prob)
    assert "self.actor.infer_batch(" in scored
    assert "self.train_batch(" in inspect.getsource(TrainingWorker.train_mini_batch)


def test_the_registries_know_care() -> None:
    assert get_trainer_cls(TRAINER_MODE) is trainer.CareTrainer
    assert get_trainer_cls("sync") is PPOTrainerSync
    assert POLICY_LOSS_REGISTRY[POLICY_LOSS] is care_policy_loss
    assert ESTIMATOR in ADV_ESTIMATOR_REGISTRY
    assert RecipeSearchPath in Plugins.instance().discover(SearchPathPlugin)


def test_the_rollout_registry_calls_a_loader() -> None:
    """`register_replica` puts a loader under a name that is taken."""
    known = dict(RolloutReplicaRegistry._registry)
    assert "vllm" in known
    try:
        RolloutReplicaRegistry.register("vllm", lambda: "ours")  # type: ignore[arg-type,return-value]
        assert RolloutReplicaRegistry.get("vllm") == "ours"
    finally:
        RolloutReplicaRegistry._registry.update(known)


def test_the_reward_manager_is_found_through_its_package(
    composed: Callable[..., DictConfig],
) -> None:
    config = composed(
        "reward.reward_manager.source=importlib",
        "reward.reward_manager.name=CareRewardManager",
        "reward.reward_manager.module.path=pkg://care_verl.training.reward_manager",
    )
    assert resolve_reward_manager_cls(config) is CareRewardManager
    manager = load_reward_manager(
        config, "a tokenizer", reward_router_address=None, reward_model_tokenizer=None
    )
    assert isinstance(manager, CareRewardManager)
    assert manager.tokenizer == "a tokenizer"


def test_mini_batches_are_contiguous_rows() -> None:
    """Padding is dealt over them on this assumption; it holds with `actor.shuffle=False`."""
    data = TensorDict({"row": torch.arange(6)}, batch_size=6)
    cut = tu.make_iterator(
        data, mini_batch_size=2, epochs=1, seed=7, dataloader_kwargs={"shuffle": False}
    )
    assert [part["row"].tolist() for part in cut] == [[0, 1], [2, 3], [4, 5]]


def test_a_divisible_batch_is_not_padded_by_verl() -> None:
    batch = KVBatchMeta(partition_id="train", keys=["a", "b"], tags=[{}, {}])
    assert upsample_batch_to_divisible_size(batch, 2, eos_token_id=0) is batch


def test_a_tag_put_later_keeps_the_earlier_ones() -> None:
    """`_note_skipped` adds one tag to a row that is in the queue."""
    meta = BatchMeta(global_indexes=[0], partition_ids=["train"])
    meta.update_custom_meta([{"seq_len": 9}])
    meta.update_custom_meta([{"care_rgr_skipped": "timeout"}])
    assert list(meta.custom_meta) == [{"seq_len": 9, "care_rgr_skipped": "timeout"}]


def test_row_fields_are_stacked_or_jagged() -> None:
    """Equal shapes become a dense tensor, others a nested one; both unbind to the rows."""
    equal = list_of_dict_to_tensordict([{"x": torch.ones(2)}, {"x": torch.zeros(2)}])["x"]
    uneven = list_of_dict_to_tensordict([{"x": torch.ones(2)}, {"x": torch.zeros(1)}])["x"]
    assert (equal.is_nested, uneven.is_nested) == (False, True)
    assert [row.tolist() for row in uneven.unbind()] == [[1.0, 1.0], [0.0]]
    flags = list_of_dict_to_tensordict([{"x": torch.ones(1)}, {"x": torch.zeros(1)}])["x"]
    assert worker.global_row_count(flags, None, "cpu") == 1
    ragged = torch.nested.as_nested_tensor([torch.ones(1), torch.zeros(1)], layout=torch.jagged)
    assert worker.global_row_count(ragged, None, "cpu") == 1


def test_messages_and_measurements_come_out_of_the_queue_as_they_went_in() -> None:
    """`recording.held_step` reads columns of lists and mappings, from one row or several."""
    rows = [
        {
            "raw_prompt": [{"role": "user", "content": [{"type": "image", "care": b"x"}]}] * n,
            "metrics": AgentLoopMetrics(generate_sequences=n).model_dump(exclude_unset=True),
            "index": n,
            "data_source": "charts",
        }
        for n in (1, 2)
    ]
    for chosen in (rows, rows[:1]):
        table = list_of_dict_to_tensordict(chosen)
        for name in rows[0]:
            assert held_step._values(table[name]) == [row[name] for row in chosen], name


def test_masked_rows_count_nowhere_in_the_kl() -> None:
    """Row means 2 and 4, the masked row's 100 left out; over a global size of 4, on 2 ranks: 3."""
    values = torch.tensor([[1.0, 3.0], [4.0, 9.0], [100.0, 100.0]])
    mask = torch.tensor([[1, 1], [1, 0], [0, 0]])
    loss = agg_loss(values, mask, "seq-mean-token-mean", dp_size=2, global_batch_size=4)
    assert float(loss) == pytest.approx((2 + 4) / 4 * 2)


def nested(*rows: Sequence[float]) -> torch.Tensor:
    tensors = [torch.tensor(row, dtype=torch.float32) for row in rows]
    return torch.nested.as_nested_tensor(tensors, layout=torch.jagged)


def test_verls_loss_is_ours_over_the_global_size() -> None:
    """verl's `ppo_loss` around CARE's, by hand: |S*| = 4 over 2 ranks, rho = 2 and 1.

    Row 0, A > 0: clipped to 1.28 on both tokens of a = 0.5. Row 1 has rho = 1, a = -1 on one
    token. Row 2 is padding. Surrogate: -(1.28·0.5·2 - 1)/4·2 = -0.14. KL: ref = log_prob but for
    row 0, where d = -ln 2 gives k3 = 0.5 + ln 2 - 1 = 0.1931; over 4 rows and 2 ranks, 0.0966.
    """
    log2 = 0.6931472
    config = ActorConfig(
        strategy="fsdp",
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
        loss_agg_mode="seq-mean-token-mean",
        use_kl_loss=True,
        kl_loss_coef=0.5,
        policy_loss=PolicyLossConfig(loss_mode=POLICY_LOSS),
        rollout_n=1,
    )
    data = TensorDict(
        {
            "prompts": nested([1], [1], [1]),
            "responses": nested([1, 1], [1], [1, 1]),
            "response_mask": nested([1, 1], [1], [0, 0]),
            "old_log_probs": nested([-1 - log2, -1 - log2], [-1], [9, 9]),
            "ref_log_prob": nested([-1 - log2, -1 - log2], [-1], [9, 9]),
            "advantages": nested([0.5, 0.5], [-1], [7, 7]),
        },
        batch_size=3,
    )
    tu.assign_non_tensor(data, dp_size=2, batch_num_tokens=3, global_batch_size=4)
    # verl shifts by one: the last position of a row belongs to no token.
    log_probs = nested([-1, -1, 5], [-1, 5], [-1, -1, 5])
    loss, metrics = ppo_loss(config, {"log_probs": log_probs}, data)
    assert metrics["actor/pg_loss"].aggregate() == pytest.approx(-0.14, abs=1e-6)
    assert metrics["kl_loss"].aggregate() == pytest.approx(0.0965736, abs=1e-6)
    assert float(loss) == pytest.approx(-0.14 + 0.5 * 0.0965736, abs=1e-6)


def test_token_counts_of_the_loss_become_a_rate() -> None:
    """verl averages over micro-batches and renames: the names and the rate must survive that."""
    metrics = Metric.from_dict({"care/clip/x": 1.0}, aggregation=AggregationType.MEAN)
    metrics["care/clip/x"].append(3.0)
    assert metrics["care/clip/x"].aggregate() == 2.0
    assert list(rename_dict({"care/clip/x": 1, "actor/y": 2}, "actor/")) == [
        "actor/care/clip/x",
        "actor/y",
    ]


def test_the_replay_buffer_has_a_poll_interval() -> None:
    buffer = ReplayBuffer("sync", SimpleNamespace(), None, "drop", {})  # type: ignore[arg-type]
    assert buffer.poll_interval == 2.0
