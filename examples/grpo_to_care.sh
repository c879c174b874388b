#!/usr/bin/env bash
# A GRPO command line that works, and the one override that makes it CARE.
# Usage: MODEL=Qwen/Qwen2.5-VL-7B-Instruct TRAIN=train.parquet TEST=test.parquet examples/grpo_to_care.sh
set -euo pipefail

python -m verl.trainer.main_ppo \
    algorithm.adv_estimator=care \
    data.train_files="${TRAIN:?}" data.val_files="${TEST:?}" data.image_key=images \
    data.train_batch_size=128 data.max_prompt_length=2048 data.max_response_length=2048 \
    actor_rollout_ref.model.path="${MODEL:?}" \
    actor_rollout_ref.actor.ppo_mini_batch_size=128 \
    actor_rollout_ref.actor.use_dynamic_bsz=True \
    actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True \
    actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.n=8 \
    "$@"
