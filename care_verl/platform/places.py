"""Classes of verl that several seams lie in, as `MODULE:NAME`."""

from __future__ import annotations

TASK_RUNNER = "verl.trainer.main_ppo:TaskRunnerV1"
QUEUE_MANAGER = "verl.trainer.ppo.v1.agent_loop_tq:AgentLoopManagerTQ"
QUEUE_WORKER = "verl.trainer.ppo.v1.agent_loop_tq:AgentLoopWorkerTQ"
WORKER = "verl.experimental.agent_loop.agent_loop:AgentLoopWorker"
TRAINER = "verl.trainer.ppo.v1.trainer_base:PPOTrainer"
BUFFER = "verl.trainer.ppo.v1.replay_buffer:ReplayBuffer"
FSDP_CHECKPOINTS = "verl.utils.checkpoint.fsdp_checkpoint_manager:FSDPCheckpointManager"
ACTOR = "verl.workers.engine_workers:ActorRolloutRefWorker"
TRAINING_WORKER = "verl.workers.engine_workers:TrainingWorker"
ENGINE = "verl.workers.engine.fsdp.transformer_impl:FSDPEngine"
LM_ENGINE = "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead"
DATASET = "verl.utils.dataset.rl_dataset:RLHFDataset"
REWARD_MANAGER = "verl.experimental.reward_loop.reward_manager.base:RewardManagerBase"
SERVER = "verl.workers.rollout.vllm_rollout.vllm_async_server:vLLMHttpServer"
