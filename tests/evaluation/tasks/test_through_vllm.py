"""All tasks through LMMs-Eval's own command and a real vLLM, with a model of random weights.

It shows that vLLM takes every prompt, several images among the text included, and that every row is
answered and scored. No answer is right but by chance.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from care_verl.tools.evaluation.answers import read_answers
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.environment import lmms_eval_command, tasks_folder


@pytest.mark.slow
def test_every_row_is_answered_and_scored(
    benchmark_files: Path, model_folder: Path, tmp_path: Path
) -> None:
    names = [benchmark.task for benchmark in BENCHMARKS.values()]
    model = f"model={model_folder},dtype=float32,enforce_eager=True,disable_log_stats=True"
    command = [
        *lmms_eval_command(),
        *("--model", "vllm", "--tasks", ",".join(names), "--include_path", str(tasks_folder())),
        *("--model_args", f"{model},max_model_len=1024,max_num_seqs=32,max_new_tokens=8"),
        *("--gen_kwargs", "max_new_tokens=8", "--batch_size", "64", "--log_samples"),
        *("--output_path", str(tmp_path), "--process_docs_parallel", "1"),
    ]
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    done = subprocess.run(
        command, env={**os.environ, **variables}, cwd=tmp_path, capture_output=True, text=True
    )
    samples = list(tmp_path.glob("*/*_samples_*.jsonl"))
    assert len(samples) == len(names), (done.stdout + done.stderr)[-6000:]
    answers = [answer for file in samples for answer in read_answers(file)]
    assert Counter(answer.benchmark for answer in answers) == {
        "mathvista": 5,
        "mathverse": 3,
        "mathvision": 4,
        "mmmu": 4,
        "mmmu_pro_standard": 2,
        "mmmu_pro_vision": 1,
        "embedded": 2,
    }
    assert any(answer.response for answer in answers)
