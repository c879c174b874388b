"""verl's validation in a running training reports what `evaluate` would, of the same responses.

The reward manager, the task's scoring and verl's own aggregation are the real ones; neither verl's
loop nor LMMs-Eval runs, so that both decode alike is not shown.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from care_verl.data.embedded.generator import example
from care_verl.data.embedded.rows import rl_row
from care_verl.data.embedded.tokenizer import build_tokenizer
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.checkpoint import Model
from care_verl.tools.evaluation.lines import Line, Seed
from care_verl.tools.evaluation.scoring import answers_of
from care_verl.tools.evaluation.settings import TaskSettings
from care_verl.training.reward_manager import CareRewardManager

CHARTS = [rl_row(example(5, "test", index)) for index in range(8)]
FORMS = (
    "<think>red3</think><answer>{right}</answer>",
    "<think>red3</think><answer> {right}.0 </answer>",
    "<think>red3</think><answer>{wrong}</answer>",
    "<think>red3</think><answer>{right}</answer><answer>{wrong}</answer>",
    "<think>red3 <answer>{right}</answer>",
    "<answer>{right}</answer>",
    "<think>red3</think>{right}",
    "",
)


def responses() -> list[str]:
    """A right answer, wrong ones, and every way to miss the format."""
    golds = [int(row["reward_model"]["ground_truth"]) for row in CHARTS]
    return [
        form.format(right=gold, wrong=gold + 1) for form, gold in zip(FORMS, golds, strict=True)
    ]


def validated(tokenizer: Any, tasks: TaskSettings) -> dict[str, float]:
    """What verl logs at a validation with one response a row (`val_kwargs.n=1`)."""
    regions = {"think_tag": tasks.think_tag, "answer_tag": tasks.answer_tag}
    config = OmegaConf.create({"algorithm": {"care": {"regions": regions}}})
    manager = CareRewardManager(config, tokenizer)
    infos: dict[str, list[Any]] = {}
    for row, text in zip(CHARTS, responses(), strict=True):
        found = asyncio.run(manager.run_single(_data(tokenizer, row, text)))
        for key, value in {**found["reward_extra_info"], "reward": found["reward_score"]}.items():
            infos.setdefault(key, []).append(value)
    sources = [row["data_source"] for row in CHARTS]
    uids = [str(place) for place in range(len(CHARTS))]
    metrics: dict[str, float] = PPOTrainer._val_metrics_update(None, sources, uids, infos, [])
    return metrics


def evaluated(tasks: TaskSettings) -> Line:
    """What `evaluate` makes of the same rows and responses."""
    benchmark = BENCHMARKS["embedded"]
    answers = [
        answer
        for place, (row, text) in enumerate(zip(CHARTS, responses(), strict=True))
        for answer in answers_of(benchmark, place, benchmark.read(row), [text], tasks)
    ]
    return Line("policy", (Seed(Model("policy", "policy"), {"embedded": answers}),))


@pytest.mark.parametrize("tasks", [TaskSettings(), TaskSettings(think_tag="reasoning")])
def test_the_same_numbers_under_the_documented_keys(tasks: TaskSettings) -> None:
    metrics, line = validated(build_tokenizer(), tasks), evaluated(tasks)
    accuracy = line.accuracy("embedded").mean
    assert 0 < accuracy < 1
    assert metrics["val-core/care_verl/embedded/acc/mean@1"] == accuracy
    well_formed = line.well_formed("embedded").mean
    assert metrics["val-aux/care_verl/embedded/fmt/mean@1"] == well_formed


def test_answer_by_answer() -> None:
    """By hand: the first, the second and the one without a rationale are right."""
    answers = evaluated(TaskSettings()).seeds[0].answers["embedded"]
    assert [answer.acc for answer in answers] == [1, 1, 0, 0, 0, 1, 0, 0]
    assert [answer.fmt for answer in answers] == [1, 1, 1, 0, 0, 0, 0, 0]


def _data(tokenizer: Any, row: dict[str, Any], response: str) -> DataProto:
    prompts = torch.tensor([tokenizer.encode("<|im_start|>assistant\n")])
    responses = torch.tensor([tokenizer.encode(response + "<|im_end|>")])
    mask = torch.ones(1, prompts.shape[1] + responses.shape[1], dtype=torch.int64)
    return DataProto.from_dict(
        tensors={"prompts": prompts, "responses": responses, "attention_mask": mask},
        non_tensors={
            name: np.array([row[name]], dtype=object)
            for name in ("reward_model", "data_source", "extra_info")
        },
    )
