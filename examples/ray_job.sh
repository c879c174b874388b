#!/usr/bin/env bash
# Trains on a Ray cluster that stands already; care-verl is installed on all of its nodes.
# Usage: RAY_API_SERVER_ADDRESS=http://HEAD:8265 TRAIN=/shared/train.parquet TEST=/shared/test.parquet \
#     RUN=/shared/runs/care1 examples/ray_job.sh '+recipe=[care_qwen2_5_vl_7b,hardware/nodes]'
# The same line again goes on from the last checkpoint in $RUN.
set -euo pipefail

# The files of --working-dir go to every node; an empty folder keeps data and checkpoints out of it.
folder=$(mktemp -d)
trap 'rmdir "$folder"' EXIT

ray job submit --working-dir "$folder" \
    --runtime-env-json '{"env_vars": {"VLLM_NO_USAGE_STATS": "1"}}' -- \
    python -m verl.trainer.main_ppo \
    data.train_files="${TRAIN:?}" data.val_files="${TEST:?}" \
    trainer.default_local_dir="${RUN:?}" trainer.resume_mode=auto \
    "$@"
