#!/usr/bin/env bash
# A GRPO command line that works, and the one override that makes it CARE.
# Usage: MODEL=Qwen/Qwen2.5-VL-7B-Instruct TRAIN=train.parquet TEST=test.parquet examples/grpo_to_care.sh
# Written for one node with 8 GPUs of 80 GB, after verl's example for this model
# (examples/grpo_trainer/run_qwen2_5_vl_7b_fsdp.sh); docs/quickstart.md says what of that is kept.
set -euo pipefail

python -m verl.trainer.main_ppo \
    algorithm.adv_estimator=care \
    data.train_files="${TRAIN:?}" data.val_files="${TEST:?}" data.image_key=images \
    data.train_batch_size=512 data.max_prompt_length=2048 data.max_response_length=2048 \
    data.filter_overlong_prompts=True data.truncation=error \
    actor_rollout_ref.model.path="${MODEL:?}" \
    actor_rollout_ref.model.use_remove_padding=True \
    actor_rollout_ref.model.enable_gradient_checkpointing=True \
    actor_rollout_ref.actor.strategy=fsdp2 \
    actor_rollout_ref.actor.optim.lr=1e-6 \
    actor_rollout_ref.actor.ppo_mini_batch_size=128 \
    actor_rollout_ref.actor.use_dynamic_bsz=True \
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384 \
    actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True \
    actor_rollout_ref.ref.log_prob_use_dynamic_bsz=True \
    actor_rollout_ref.ref.fsdp_config.param_offload=True \
    actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.n=8 \
    actor_rollout_ref.rollout.load_format=auto \
    actor_rollout_ref.rollout.tensor_model_parallel_size=2 \
    actor_rollout_ref.rollout.gpu_memory_utilization=0.6 \
    trainer.n_gpus_per_node=8 trainer.nnodes=1 \
    trainer.logger='[console,tensorboard,file]' \
    trainer.save_freq=20 trainer.test_freq=20 \
    "$@"
