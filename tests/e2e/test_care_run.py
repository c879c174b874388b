"""Two steps of CARE through `python -m verl.trainer.main_ppo`, everything real, on CPU.

Shows that every part runs and that the parts agree with each other; not that the policy learns,
which two steps cannot show (`care-verl demo` does).
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from care_verl.records.files import RunRecord

from .running import Run

pytestmark = pytest.mark.e2e


@dataclass
class FinishedRun(Run):
    """A run, and where it listened when its first step was over."""

    listened: set[tuple[str, str, int]] = field(default_factory=set)


@pytest.fixture(scope="module")
def run(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("care")
    settings = [
        *overrides,
        "+algorithm.care.embedding.cross_check=True",
        "+algorithm.care.capture.step=1",
        f"+algorithm.care.capture.folder={folder / 'captures'}",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        f"trainer.rollout_data_dir={folder / 'rollouts'}",
        # Small enough to preempt and to cut prompts into chunks while 256 rollouts wait.
        "actor_rollout_ref.rollout.max_num_batched_tokens=256",
        "+actor_rollout_ref.rollout.engine_kwargs.vllm.num_gpu_blocks_override=64",
    ]
    with FinishedRun(folder, settings) as run:
        run.wait_for_step(1)
        run.listened = run.listeners()
        status = run.finish()
        assert status == 0, run.tail()
        return run


def test_both_steps_are_there(run: Run) -> None:
    assert [step for step, _ in run.metrics()] == [1, 2]


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
    assert [data["care/queue/rows"] for _, data in run.metrics()] == [0, 0]


def test_the_run_listens_on_loopback_only(run: FinishedRun) -> None:
    """Ray, vLLM's server, the queue and torch.distributed, as far as they listen on TCP."""
    for name in ("ray::CareVLLMServer", "gcs_server", "ray::TransferQueueController"):
        assert any(name in who for who, *_ in run.listened), run.listened
    assert [at for at in run.listened if not ipaddress.ip_address(at[1]).is_loopback] == []


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


def test_all_rows_are_dumped_dropped_ones_too(run: Run) -> None:
    for step, data in run.metrics():
        lines = (run.folder / "rollouts" / f"{step}.jsonl").read_text().splitlines()
        assert len(lines) == data["care/rows/total"]


@pytest.fixture(scope="module")
def record(run: Run) -> RunRecord:
    return RunRecord.find(run.folder / "checkpoints")


def test_the_record_adds_up_with_the_metrics(run: Run, record: RunRecord) -> None:
    """Every row, by kind, role and outcome; signal, credit and log-probabilities of the updated."""
    metrics = dict(run.metrics())
    assert [step.step for step in record] == [1, 2]
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
    assert len(named) == 2 * 32
    assert {path.name for path in (record.folder / "images").iterdir()} == set(named)
    assert record.image(named[0]).startswith(b"\x89PNG")


def test_the_start_is_recorded(run: Run, record: RunRecord) -> None:
    (start,) = record.starts()
    assert start["first_step"] == 1
    assert start["config"]["algorithm"]["care"]["rgr"]["cue"] == "Look again."
    assert start["versions"]["verl"] == "0.9.1"
    assert {"data.seed", "algorithm.care.seed"} <= set(start["seeds"])


def test_tensorboard_and_checkpoint_are_there(run: Run) -> None:
    assert list((run.folder / "tensorboard").rglob("events.out.tfevents.*"))
    exported = run.folder / "checkpoints" / "global_step_2" / "actor" / "huggingface"
    assert (exported / "model.safetensors").exists()


def test_the_update_is_the_same_however_it_is_cut(run: Run, tmp_path: Path) -> None:
    """`care-verl certificate` on step 1, fifteen rows of S* and all dropped ones.

    Images and positions are the run's; that verl's packed rows and CUDA kernels agree too is not
    shown on a CPU.
    """
    command = [sys.executable, "-m", "care_verl.cli", "certificate", str(run.folder / "captures")]
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
