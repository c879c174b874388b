"""CARE through `python -m verl.trainer.main_ppo`, everything real, on CPU: one run of four steps.

It is killed with SIGKILL in its last save and started again. What holds of a run is asked of its
first three steps; then the second start must repeat, bit for bit, what the first did: it saves
every second step, so steps 3 and 4 are run again. Equal in them: prompts and their names,
responses, scores, reflections and their sources, roles and advantages, vLLM's, the actor's and the
reference's log-probabilities, every metric that is not time, memory or speed, and the weights after
the last step. With that, optimizer, learning rate, order of the data and random states came back
too. It holds for seeded rollouts (`algorithm.care.seeded`) in fp32 on a CPU, on the same machine
with the same number of cores.

Shows that every part runs and that the parts agree with each other; not that the policy learns,
which four steps cannot show (`care-verl demo` does), and nothing on a GPU. The other moments to be
killed at, and runs that were never stopped to compare with, are in `test_resume_proofs`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from care_verl.records.files import RunRecord

from .resuming import (
    STEPS,
    Story,
    assert_same_capture,
    assert_same_step,
    assert_same_weights,
    killed_in_the_last_save,
    metrics_of,
)
from .running import Run

pytestmark = pytest.mark.e2e

DONE = [1, 2, 3]
"""Steps of which the killed run wrote its metrics."""


class CareStory(Story):
    """Thirty-two groups a step, and everything compared that can be."""

    def method(self) -> list[str]:
        return [
            *super().method(),
            "data.train_batch_size=32",
            "actor_rollout_ref.actor.ppo_mini_batch_size=16",
            "+algorithm.care.embedding.cross_check=True",
            # Small enough to preempt and to cut prompts into chunks while 256 rollouts wait.
            "actor_rollout_ref.rollout.max_num_batched_tokens=256",
            "+actor_rollout_ref.rollout.engine_kwargs.vllm.num_gpu_blocks_override=64",
        ]


@dataclass
class Killed:
    """The killed run, where it listened when its first step was over, and what it left.

    story: going on with it overwrites its folder; before: a copy of that.
    """

    run: Run
    listened: set[tuple[str, str, int]]
    story: CareStory
    before: CareStory


@pytest.fixture(scope="module")
def killed(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("care")
    story = CareStory(folder / "run", overrides, save_every=2)
    before = CareStory(folder / "before", overrides)
    listened: set[tuple[str, str, int]] = set()

    def look(run: Run) -> None:
        run.wait_for_step(1)
        listened.update(run.listeners())

    run = killed_in_the_last_save(story, before.folder, look)
    return Killed(run, listened, story, before)


@pytest.fixture(scope="module")
def run(killed: Killed) -> Run:
    return killed.run


def test_the_steps_are_there(run: Run) -> None:
    assert [step for step, _ in run.metrics()] == DONE


def test_groups_and_rows_add_up(run: Run) -> None:
    for _, data in run.metrics():
        kinds = ("mixed", "all_wrong", "all_right")
        assert sum(data[f"care/groups/{kind}"] for kind in kinds) == 32
        assert data["care/groups/rescued"] == data["care/groups/all_wrong"]
        assert data["care/rows/total"] == 32 * 8 + data["care/rgr/triggered"]
        assert 0 < data["care/rows/updated"] < data["care/rows/total"]
        assert 0 < data["care/signal/failure_share"] < 1
        assert data["care/rows/unpaid_answer"] == 0


def test_every_mixed_group_was_reflected_on(run: Run) -> None:
    for _, data in run.metrics():
        assert data["care/groups/mixed"] > 0
        assert data["care/rgr/triggered"] == data["care/groups/mixed"]


def test_the_harvest_agrees_with_the_actor(run: Run) -> None:
    """Cosine distance between vLLM's pooled states and the actor's, over real rollouts."""
    for _, data in run.metrics():
        assert data["care/embedding/cross_checked"] > 50
        assert data["care/embedding/distance_max"] <= 1e-5


def test_old_log_probabilities_are_those_of_the_rollout(run: Run) -> None:
    """Reflected rows too: each is scored under exactly the context it was decoded in.

    A wrong context is beyond 0.1 (`tests/training/test_parity_context`).
    """
    for _, data in run.metrics():
        assert data["training/rollout_probs_diff_max"] < 1e-3
        for kind in ("original", "reflected"):
            assert 0 < data[f"care/parity/{kind}_mean"] <= data[f"care/parity/{kind}_max"] < 5e-3


def test_the_first_ratio_of_an_update_is_one(run: Run) -> None:
    """The actor that updates scores the rows as the one that gave the old log-probabilities."""
    for _, data in run.metrics():
        assert data["care/ratio/first_deviation"] < 1e-4


def test_the_queue_is_empty_between_steps(run: Run) -> None:
    """Dropped rows, padding and prompts too."""
    assert [data["care/queue/rows"] for _, data in run.metrics()] == [0] * len(DONE)


def test_the_run_listens_on_loopback_only(killed: Killed) -> None:
    """Ray, vLLM's server, the queue and torch.distributed, as far as they listen on TCP."""
    for name in ("ray::CareVLLMServer", "gcs_server", "ray::TransferQueueController"):
        assert any(name in who for who, *_ in killed.listened), killed.listened
    assert [at for at in killed.listened if not ipaddress.ip_address(at[1]).is_loopback] == []


def test_the_update_has_a_gradient_and_the_named_metrics(run: Run) -> None:
    names = {
        "care/kprime/hist_4",
        "care/anchor/think_len",
        "care/clip/negative_rate",
        "care/rgr/succeeded",
        "care/tokens/updated_share",
        "timing_s/care",
        "timing_s/update_actor",
        "actor/kl_loss",
    }
    for _, data in run.metrics():
        assert names <= set(data), names - set(data)
        assert data["actor/grad_norm"] > 0


def test_the_signature_is_the_papers(run: Run) -> None:
    """Binary gate, format reward beside it: anchors lie at alpha·sqrt(K), alpha in (0, 1]."""
    for _, data in run.metrics():
        for k in range(1, 6):
            if f"care/signature/anchor_k{k}" in data:
                theory = data[f"care/signature/anchor_theory_k{k}"]
                assert 0.5 * theory < data[f"care/signature/anchor_k{k}"] <= theory + 1e-3


def test_all_rows_are_dumped_dropped_ones_too(killed: Killed) -> None:
    for step, data in killed.run.metrics():
        assert len(killed.before.rollouts(step)) == data["care/rows/total"]


@pytest.fixture(scope="module")
def record(killed: Killed) -> RunRecord:
    return RunRecord.find(killed.before.checkpoints)


def test_the_record_adds_up_with_the_metrics(run: Run, record: RunRecord) -> None:
    """Every row, by kind, role and outcome; signal, credit and log-probabilities of the updated."""
    metrics = dict(run.metrics())
    assert [step.step for step in record] == DONE
    for step in record:
        data, rows = metrics[step.step], step.rows()
        assert step.metrics == pytest.approx({name: data[name] for name in step.metrics})
        assert step.metrics["timing_s/step"] > step.metrics["timing_s/records"] > 0
        # Of the step before, of which the first has none.
        assert (step.metrics["timing_s/records_thread"] > 0) is (step.step > 1)
        assert len(rows) == data["care/rows/total"]
        updated = [row for row in rows if row["advantage"]]
        assert len(updated) == data["care/rows/updated"]
        roles = Counter(row["role"] for row in rows)
        assert roles["anchor"] == 32 - data["care/groups/skipped"]
        assert sum(roles[name] for name in ("anchor", "negative", "positive")) == len(updated)
        kinds = Counter(row["kind"] for row in rows if row["question"])
        for kind in ("mixed", "all_wrong", "all_right"):
            assert kinds[kind] == data[f"care/groups/{kind}"]
        outcomes = Counter(row["rgr_outcome"] for row in rows)
        assert outcomes["succeeded"] == data["care/rgr/succeeded"]
        assert outcomes["succeeded"] + outcomes["failed"] == data["care/rgr/triggered"]
        size = sum(abs(row["advantage"]) for row in rows)
        failed = sum(abs(row["advantage"]) for row in rows if row["acc"] == 0)
        assert failed / size == pytest.approx(data["care/signal/failure_share"])
        assert sum(len(row["response_ids"]) for row in rows) == data["care/tokens/total"]
        for row in rows:
            scored = [row[name] is not None for name in ("credit", "logp_old", "logp_ref")]
            assert scored == [bool(row["advantage"])] * 3
        for row in updated:
            assert sum(row["credit"]) == pytest.approx(row["advantage"], abs=1e-4)
            gap = abs(row["logp_old"] - row["logp_rollout"])
            assert gap <= data["care/parity/row_sum_max"] + 1e-4


def test_a_recorded_row_says_what_was_decoded(record: RunRecord) -> None:
    for step in record:
        for row in step.rows():
            text = b"".join(row["pieces"]).decode(errors="replace")
            assert row["response"] == text
            if row["fmt"] == 1:
                assert row["pred"] in text
            lengths = {len(row[name]) for name in ("pieces", "response_ids", "response_mask")}
            assert len(lengths) == 1
            assert row["seconds"] > 0
            if row["reflected_from"] >= 0:
                given = row["rgr_prefix_tokens"]
                assert row["response_mask"] == [0] * given + [1] * (lengths.pop() - given)
                assert row["rgr_cue"] in b"".join(row["pieces"][:given]).decode(errors="replace")


def test_recorded_images_are_stored_once(record: RunRecord) -> None:
    named = [name for step in record for row in step.rows() for name in row["images"] or ()]
    assert len(named) == len(DONE) * 32
    assert {path.name for path in (record.folder / "images").iterdir()} == set(named)
    assert record.image(named[0]).startswith(b"\x89PNG")


def test_the_start_is_recorded(run: Run, record: RunRecord) -> None:
    (start,) = record.starts()
    assert start["first_step"] == 1
    assert start["config"]["algorithm"]["care"]["rgr"]["cue"] == "Look again."
    assert start["versions"]["verl"] == "0.9.1"
    assert {"data.seed", "algorithm.care.seed"} <= set(start["seeds"])


def test_tensorboard_and_checkpoint_are_there(killed: Killed) -> None:
    assert list((killed.run.folder / "tensorboard").rglob("events.out.tfevents.*"))
    exported = killed.before.checkpoints / "global_step_2" / "actor" / "huggingface"
    assert (exported / "model.safetensors").exists()


def test_the_update_is_the_same_however_it_is_cut(killed: Killed, tmp_path: Path) -> None:
    """`care-verl certificate` on the captured step, fifteen rows of S* and all dropped ones.

    Images and positions are the run's; that verl's packed rows and CUDA kernels agree too is not
    shown on a CPU.
    """
    captures = killed.before.folder / "capture"
    command = [sys.executable, "-m", "care_verl.cli", "certificate", str(captures)]
    command += ["--out", str(tmp_path), "--rows", "15"]
    # One thread: for tensors of this size more of them only wait for each other.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "certificate.json").read_text())
    assert found["breaches"] == []
    for kind in ("mixed groups", "rescued groups", "failed reflections", "dropped rows"):
        assert found["chosen"][kind] > 0, kind
    assert min(found["facts"]["displaced policy"]["clipped"]) > 0
    assert {len(item["rows"]) for item in found["measurements"]} == {1, 2}


def test_nothing_is_left_running(run: Run) -> None:
    assert run.processes() == []


def test_the_log_has_no_failed_session(run: Run, tmp_path: Path) -> None:
    assert "Error in _run_prompt" not in run.log


@pytest.fixture(scope="module")
def resumed(killed: Killed) -> Run:
    return killed.story.finish()


def test_a_second_start_goes_on_from_the_last_whole_checkpoint(
    killed: Killed, resumed: Run
) -> None:
    """The first was killed with the weights of step 4 written and the next file half."""
    checkpoints = killed.story.checkpoints
    assert f"Resuming from {checkpoints / 'global_step_2'}," in resumed.log
    assert f"global_step_{STEPS}: its save was not finished" in resumed.log
    assert sorted(metrics_of(resumed)) == [3, STEPS]
    assert sorted(path.parent.name for path in checkpoints.rglob("complete.json")) == [
        "global_step_2",
        "global_step_4",
    ]


def test_it_repeats_what_the_first_did(killed: Killed, resumed: Run) -> None:
    """The killed run got to write the metrics of step 3 only."""
    story, before = killed.story, killed.before
    assert_same_step(3, story, resumed, before, killed.run)
    assert before.rollouts(STEPS) == story.rollouts(STEPS)
    assert_same_capture(before, story)
    assert_same_weights(before.shard("actor"), story.shard("actor"))
