"""verl's synchronous trainer with what surrounds the steps of a run of ours.

Its start, its guards against deaths and full disks, the names of its prompts, its checkpoints, its
record.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu

from care_verl.algorithm.method_settings import MethodSettings
from care_verl.common.logs import logger_of
from care_verl.methods import Method
from care_verl.platform.places import TRAINER
from care_verl.platform.seam import Seam
from care_verl.training.checkpointing.saving import DeferredCallback, resuming_whole, whole_save
from care_verl.training.queue_rows import rows_in_queue
from care_verl.training.recording.recorder import Recorder, recording
from care_verl.training.run.disk import explaining_disks
from care_verl.training.run.failures import FailedGroups, failed_groups_limit
from care_verl.training.run.liveness import ActorPings, check_while_polling, named
from care_verl.training.run.polling import pace_polling
from care_verl.training.run.prompt_names import PromptIds
from care_verl.training.run.queue_watch import watching_queue
from care_verl.training.run.worker import RunActorRolloutRefWorker, our_workers
from care_verl.training.wiring import loaded

logger = logger_of(__name__)


RELIES_ON = (
    Seam(
        f"{TRAINER}._build_replay_buffer",
        "the mode selects the replay buffer",
        'ReplayBuffer if self.trainer_mode == "sync" else ReplayBufferAsync',
    ),
    Seam(
        f"{TRAINER}.__init__",
        "the trainer reads its mode once, before the buffer",
        "self.trainer_mode = self.config.trainer.v1.trainer_mode",
        "self.replay_buffer = self._build_replay_buffer()",
    ),
    Seam(
        f"{TRAINER}._init_resource_pool_mgr",
        "which actor the trainer starts",
        "self.role_worker_mapping[role] = ray.remote(ActorRolloutRefWorker)",
    ),
    Seam(
        f"{TRAINER}._fetch_one_gen_batch",
        "prompts are drawn in chunks and named",
        'batch_dict["uid"] = np.array([str(uuid.uuid4())',
        "return tu.get_tensordict(batch_dict)",
    ),
    Seam(
        f"{TRAINER}._next_train_batch",
        "every chunk of a step's prompts passes one method",
        "self._fetch_one_gen_batch() for _ in range(",
        '"global_steps", self.global_steps',
    ),
)


class RunTrainer(PPOTrainerSync):  # type: ignore[misc]
    """Subclasses name their method and workers, hand each step's rows to the `_recorder`, if there
    is one, and read of each step what is counted: `_left_in_queue` and `_num_failed_groups`.
    """

    method: ClassVar[Method]
    worker_class: ClassVar[type[RunActorRolloutRefWorker]] = RunActorRolloutRefWorker

    # verl's main branch of August 2026 has none.
    checkpoint_callback: Any = None
    _captures = False
    _recorder: Recorder | None = None
    _num_failed_groups = 0

    def __init__(self, config: DictConfig) -> None:
        # Any other name than "sync" selects the asynchronous replay buffer and its checks.
        with open_dict(config):
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        pace_polling(self.replay_buffer)
        self._failed_groups = FailedGroups(self.replay_buffer, failed_groups_limit(config))
        self._left_in_queue = 0
        self._prompt_ids = PromptIds()
        self.settings: MethodSettings = loaded(self.method).settings_of(config)

    def _setup(self) -> None:
        from care_verl.rollout.replica import register_replica

        register_replica()
        super()._setup()

    def fit(self, agent_loop_manager: Any) -> None:
        """verl's loop; an actor that dies ends it with that as the error."""
        from care_verl.rollout.watchdog import RolloutWatchdog

        servers = self.llm_server_manager
        watchdog = RolloutWatchdog(
            dict(zip(servers.server_addresses, servers.server_handles, strict=True)),
            self.actor_rollout_wg.workers,
        )
        pings = ActorPings(
            named("agent-loop worker", agent_loop_manager.agent_loop_workers)
            | named("reward worker", self.get_reward_handles())
            | named("training worker", self.actor_rollout_wg.workers)
        )
        check_while_polling(self.replay_buffer, watchdog.check)
        check_while_polling(self.replay_buffer, pings.check)
        with (
            watchdog.explaining(),
            pings.explaining(),
            explaining_disks(self.config),
            self._around_steps(),
            watching_queue(),
        ):
            super().fit(agent_loop_manager)

    @contextmanager
    def _around_steps(self) -> Iterator[None]:
        """What is open from the first step to the last: the run's record."""
        first = self.global_steps + 1
        with recording(
            self.config, self.settings.records, self.tokenizer, first, self._captures
        ) as recorder:
            self._recorder = recorder
            yield

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        self.role_worker_mapping.update(our_workers(self.role_worker_mapping, self.worker_class))

    def on_step_begin(self) -> None:
        """Before a step's prompts are drawn, whatever is in the queue was left by earlier ones."""
        self._left_in_queue = rows_in_queue()
        super().on_step_begin()

    def on_sample_end(self) -> None:
        super().on_sample_end()
        self._num_failed_groups = self._failed_groups.take()

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        """verl's, put right: the step's last metrics, with which its record is written."""
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        self._put_right(metrics)
        if self._recorder is not None:
            self._recorder.finish(metrics, self.logger)

    def _put_right(self, metrics: dict[str, Any]) -> None:
        """Replace what verl could only compute over the rows of the update."""

    def _save_checkpoint(self) -> None:
        """verl's; afterwards the checkpoint is whole, or absent and the run ends."""
        callback, deferred = self.checkpoint_callback, DeferredCallback()
        self.checkpoint_callback = deferred
        with whole_save(self.config, self.global_steps, self._remove_folders):
            super()._save_checkpoint()
        self.checkpoint_callback = callback
        deferred.replay(callback)

    def _load_checkpoint(self) -> None:
        with resuming_whole(self.config):
            super()._load_checkpoint()

    def _remove_folders(self, folders: Sequence[Path]) -> None:
        """On this node and on those of the actors, who wrote into them."""
        if not folders:
            return
        logger.info("removing %s", ", ".join(str(folder) for folder in folders))
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        self.actor_rollout_wg.remove_folders([str(folder) for folder in folders])

    def _fetch_one_gen_batch(self) -> TensorDict:
        """verl's, with prompt ids that are the same in every run and sort as they were drawn.

        verl draws them at random. The rows of a step are sorted by them, and with the rows every
        tie and every sum.
        """
        batch: TensorDict = super()._fetch_one_gen_batch()
        uids = self._prompt_ids.take(self.global_steps, len(batch))
        tu.assign_non_tensor_stack(batch, "uid", uids)
        return batch
