"""GRPO-CARE end to end: the bonus and the reference that follows, in one run of two steps; and, in
`make proofs`, a run that is killed and resumed.

The resumed run repeats what the killed one did, bit for bit: rollouts, advantages, bonuses, the
reference's likelihood of every answer, every metric that is not time, memory or speed, the rows of
its record, and the weights behind the last step. As for CARE (`test_care_run`) it holds for seeded
rollouts in fp32 on a CPU. Not shown: anything on a GPU, and more than one rank, for which there is
`tests/training/test_moving_reference.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from care_verl.records.files import RunRecord
from care_verl.tools.replay.comparison import Changes, compare
from care_verl.tools.replay.readers import read
from care_verl.tools.replay.rollouts import Reading

from .moments import Moment
from .resuming import (
    STEPS,
    Story,
    assert_same_step,
    assert_same_training,
    assert_same_weights,
    killed_at,
    killed_in_the_last_save,
    metrics_of,
)
from .running import Run

pytestmark = pytest.mark.e2e

DECAY, EVERY = 0.9, 3
"""Far quicker than the method's own, so that four steps show it: a step has two optimizer steps."""


class GrpoCareStory(Story):
    """Four steps of GRPO-CARE."""

    def method(self) -> list[str]:
        return [
            "algorithm.adv_estimator=grpo_care",
            "++algorithm.grpo_care.seeded=True",
            f"++algorithm.grpo_care.decay={DECAY}",
            f"++algorithm.grpo_care.every={EVERY}",
        ]

    def counts(self, step: int) -> dict[str, int]:
        folder = self.checkpoints / f"global_step_{step}" / "reference"
        found: dict[str, int] = json.loads((folder / "counts_world_size_1_rank_0.json").read_text())
        return found

    def recorded(self, step: int) -> list[dict[str, Any]]:
        """The rows of a step's record, without the seconds they took."""
        rows = RunRecord.find(self.checkpoints).step(step).rows()
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@dataclass
class Trained:
    """A run and its folder."""

    story: GrpoCareStory
    run: Run


@pytest.fixture(scope="module")
def trained(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two steps, of which the second moves the reference."""
    story = GrpoCareStory(tmp_path_factory.mktemp("trained"), overrides, steps=2)
    return Trained(story, story.finish())


def test_the_bonus_decides_and_the_reference_follows(trained: Trained) -> None:
    steps = metrics_of(trained.run)
    assert sorted(steps) == [1, 2]
    for step, metrics in steps.items():
        taken = 2 * step
        assert metrics["grpo_care/ema/optimizer_steps"] == taken
        assert metrics["grpo_care/ema/updates"] == taken // EVERY
        assert metrics["grpo_care/updates/skipped"] == 0
        moved = taken // EVERY > (taken - 2) // EVERY
        assert ("grpo_care/ema/distance" in metrics) == moved
        assert not moved or 0 < metrics["grpo_care/ema/distance"] < 0.1
        assert 0 <= metrics["grpo_care/bonus/rate"] <= metrics["grpo_care/accurate/share"] < 1
        assert 0 < metrics["grpo_care/likelihood/inaccurate"] <= 0.95
        bonus = metrics["critic/rewards/mean"] - metrics["critic/score/mean"]
        assert bonus == pytest.approx(metrics["grpo_care/bonus/mean"], abs=1e-6)
        assert_bonuses_follow_the_rule(trained.story.rollouts(step))
    assert any(metrics["grpo_care/bonus/rate"] > 0 for metrics in steps.values())
    assert any(
        0 < metrics.get("grpo_care/likelihood/accurate", 0) <= 0.95 for metrics in steps.values()
    )
    # One model at first; behind the first step the reference scores the policy's rows by itself.
    assert steps[1]["grpo_care/reference/log_prob_distance"] < 1e-6
    assert all(steps[n]["grpo_care/reference/log_prob_distance"] > 1e-4 for n in steps if n > 1)


def assert_bonuses_follow_the_rule(rows: list[dict[str, Any]]) -> None:
    """By the dump alone: half a point for the accurate rows that are not below their mean."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["uid"].split("_")[0], []).append(row)
    for group in groups.values():
        accurate = [row for row in group if row["acc"] == 1]
        told = [row["answer_likelihood"] for row in accurate if row["answer_likelihood"]]
        bar = sum(told) / len(told) - 1e-9 if told else 0.0
        for row in group:
            consistent = row in accurate and (row["answer_likelihood"] or -1) >= bar
            assert row["bonus"] == (0.5 if consistent else 0.0), row
        total = torch.tensor([row["score"] + row["bonus"] for row in group], dtype=torch.float64)
        expected = (total - total.mean()) / (total.std() + 1e-4)
        found = torch.tensor([row["advantage"] for row in group], dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_record_adds_up_with_dump_and_metrics(trained: Trained) -> None:
    """Every row, with what the dump says of it, and what it alone has."""
    story, logged = trained.story, dict(trained.run.metrics())
    record = RunRecord.find(story.checkpoints)
    assert [step.step for step in record] == [1, 2]
    assert record.starts()[0]["config"]["algorithm"]["grpo_care"]["every"] == EVERY
    for step in record:
        rows, metrics = step.rows(), logged[step.step]
        assert step.metrics == pytest.approx({name: metrics[name] for name in step.metrics})
        assert step.metrics["timing_s/step"] > step.metrics["timing_s/records"] > 0
        dumped = {row["uid"]: row for row in story.rollouts(step.step)}
        assert {f"{row['uid']}_{row['session']}_0" for row in rows} == dumped.keys()
        for row in rows:
            assert_row_is_as_dumped(row, dumped[f"{row['uid']}_{row['session']}_0"])
            assert_row_is_whole(row)
        accurate = [row["bonus"] > 0 for row in rows if row["accurate"]]
        assert len(accurate) / len(rows) == pytest.approx(metrics["grpo_care/accurate/share"])
        assert sum(accurate) / len(rows) == pytest.approx(metrics["grpo_care/bonus/rate"])
        groups = {row["uid"] for row in rows}
        assert sum(row["question"] is not None for row in rows) == len(groups)
        named = {name for row in rows for name in row["images"] or ()}
        assert all(record.image(name).startswith(b"\x89PNG") for name in named)


def assert_row_is_as_dumped(row: dict[str, Any], told: dict[str, Any]) -> None:
    assert row["answer_likelihood"] == told["answer_likelihood"]
    for name in ("acc", "bonus", "advantage"):
        assert row[name] == pytest.approx(told[name], abs=1e-6), name
    assert row["reward"] == pytest.approx(told["score"])
    assert row["gold"] in (None, told["gts"])


def assert_row_is_whole(row: dict[str, Any]) -> None:
    """Credit, log-probabilities of two models, and the likelihood's tokens; no part of CARE."""
    assert row["response"] == b"".join(row["pieces"]).decode(errors="replace")
    assert row["credit"] == pytest.approx([row["advantage"]] * len(row["response_ids"]))
    assert max(row["logp_old"], row["logp_ref"]) < 0
    assert (row["answer_tokens"] is None) == (row["answer_likelihood"] is None)
    if row["fmt"] == 1:
        begin, end = row["answer_tokens"]
        assert row["pred"] in b"".join(row["pieces"][begin:end]).decode(errors="replace")
    assert row["seconds"] > 0
    assert [row[name] for name in ("role", "k_s", "d_cos", "rgr_outcome")] == [None] * 4


def test_record_and_dump_are_replayed_exactly(trained: Trained) -> None:
    """Every group's bonuses, by the recorded likelihoods alone."""
    story = trained.story
    for path in (story.checkpoints, story.folder / "rollouts"):
        found = compare(read(path, "auto", Reading()), Changes())
        (one,) = (one for one in found.outcomes if one.name == "GRPO-CARE")
        assert (one.read, one.incomplete) == (sum(found.groups.values()), 0), path
        assert found.consistency_distance is not None
        assert found.consistency_distance < 1e-4, path


@pytest.mark.proof
def test_a_killed_run_repeats_its_steps(overrides: list[str], tmp_path: Path) -> None:
    """Steps 3 and 4 again; step 2's checkpoint is one optimizer step behind an update.

    A reference that were built anew, or one that had lost its count, would give other bonuses in
    step 4, and so other weights behind it.
    """
    story = GrpoCareStory(tmp_path / "run", overrides, save_every=2)
    before = GrpoCareStory(tmp_path / "before", overrides)
    killed = killed_in_the_last_save(story, before.folder)
    assert story.counts(2) == {"optimizer_steps": 4, "updates": 1}

    resumed = story.finish()

    assert f"Resuming from {story.checkpoints / 'global_step_2'}," in resumed.log
    assert sorted(metrics_of(resumed)) == [3, STEPS]
    assert_same_step(3, story, resumed, before, killed)
    starts = {step.step: step.start for step in RunRecord.find(story.checkpoints)}
    assert starts == {1: 1, 2: 1, 3: 2, STEPS: 2}
    assert story.recorded(3) == before.recorded(3)
    assert_same_weights(before.shard("actor"), story.shard("actor"))
    assert story.counts(STEPS) == {"optimizer_steps": 8, "updates": 2}
    policy, reference = (story.shard(model) for model in ("actor", "reference"))
    assert reference.keys() == policy.keys()
    assert any(not torch.equal(weight, policy[name]) for name, weight in reference.items())


@pytest.mark.proof
def test_a_killed_run_equals_one_that_was_never_stopped(
    overrides: list[str], tmp_path: Path
) -> None:
    """Killed in the rollouts of step 3, which the reference scores behind its first update."""
    whole = GrpoCareStory(tmp_path / "whole", overrides)
    uninterrupted = whole.finish()
    story = GrpoCareStory(tmp_path / "killed", overrides)
    killed_at(story, Moment("rollout", "hold", step=3, count=20))

    resumed = story.finish()

    assert_same_training(story, resumed, whole, uninterrupted, first=3)
    assert_same_weights(whole.shard("reference"), story.shard("reference"))
    assert story.counts(STEPS) == whole.counts(STEPS)
    for step in range(1, STEPS + 1):
        assert story.recorded(step) == whole.recorded(step), f"record of step {step}"
