"""The paper's corpora, from local copies in the hub's layout to training: every command as a user
gives it.

Shows that what is prepared can be trained on, all corpora in one run; nothing is learned from
pictures of noise in two steps, and the real corpora are not here.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.data.corpora import hub_copies
from tests.data.corpora.cold_start_copy import llava_item, mulberry_item, write_folder

from .running import Run

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

ROWS = 8
"""Rows of each corpus: two steps of twelve prompts use all of them."""

ROOM = [
    # The embedded model spells what is not its task in bytes.
    "data.max_prompt_length=448",
    "actor_rollout_ref.rollout.prompt_length=448",
    "actor_rollout_ref.rollout.max_model_len=512",
    "data.train_batch_size=12",
    "actor_rollout_ref.actor.ppo_mini_batch_size=12",
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192",
]


def care_verl(*arguments: object) -> None:
    command = [sys.executable, "-m", "care_verl.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prepared(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three corpora, each prepared for the policy's processor."""
    folder = tmp_path_factory.mktemp("corpora")
    charts = [hub_copies.chartqa_row(n, human_or_machine=0) for n in range(ROWS)]
    hub_copies.chartqa_copy(folder / "ChartQA", charts)
    figures = [hub_copies.geometry3k_row(100 + n) for n in range(ROWS)]
    hub_copies.geometry3k_copy(folder / "geometry3k", figures)
    problems = [hub_copies.virl39k_row(200 + n) for n in range(ROWS)]
    hub_copies.virl39k_copy(folder / "ViRL39K", problems)
    for corpus in ("ChartQA", "geometry3k", "ViRL39K"):
        checks = ["--model", policy, "--max-prompt-tokens", 448]
        out = folder / "prepared" / corpus.lower()
        care_verl("data", "prepare", corpus.lower(), folder / corpus, "--out", out, *checks)
        assert pq.read_metadata(out / "train.parquet").num_rows == ROWS
    return folder / "prepared"


def test_two_steps_of_care_on_the_mixture(
    prepared: Path, overrides: list[str], tmp_path: Path
) -> None:
    """All 24 rows are rolled out, rewarded and updated on; rows of each source among them."""
    corpora = [prepared / name for name in ("chartqa", "geometry3k", "virl39k")]
    care_verl("data", "prepare", "mixture", *corpora, "--out", tmp_path / "mixture")
    train = tmp_path / "mixture" / "train.parquet"
    table = pq.read_table(train, columns=["data_source"])["data_source"].to_pylist()
    assert {source: table.count(source) for source in set(table)} == {
        "chartqa": ROWS,
        "geometry3k": ROWS,
        "virl39k": ROWS,
    }
    settings = [
        *overrides,
        *ROOM,
        f"data.train_files={train}",
        f"data.val_files={train}",
        f"trainer.rollout_data_dir={tmp_path / 'rollouts'}",
    ]
    with Run(tmp_path / "run", settings) as run:
        assert run.finish() == 0, run.tail()
    rolled_out = []
    for step, data in run.metrics():
        assert data["care/groups/mixed"] + data["care/groups/all_wrong"] > 0
        assert data["care/rows/updated"] > 0
        assert math.isfinite(data["actor/grad_norm"])
        assert data["actor/grad_norm"] > 0
        assert data["care/verifier/undecided"] == 0
        lines = (tmp_path / "rollouts" / f"{step}.jsonl").read_text().splitlines()
        rolled_out += [json.loads(line)["gts"] for line in lines]
    golds = {row["ground_truth"] for row in pq.read_table(train)["reward_model"].to_pylist()}
    assert set(rolled_out) == golds


def test_the_cold_start_recipe_on_vision_r1_cold(policy: Path, tmp_path: Path) -> None:
    """Two steps of verl's SFT trainer; a finite loss, and a policy in Hugging Face's form."""
    llava = [llava_item(n % 10, id=f"sqa/{n}") for n in range(40)]
    folder = write_folder(tmp_path / "cold", llava, [mulberry_item(n % 10) for n in range(30)])
    care_verl("data", "prepare", "vision-r1-cold", folder, "--out", tmp_path / "sft")
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node=1", "-m"]
    command = [
        *[sys.executable, "-m", *launcher, "verl.trainer.sft_trainer"],
        "+recipe=[sft_vision_r1_cold,sft_embedded_hardware]",
        f"data.train_files={tmp_path / 'sft' / 'train.parquet'}",
        f"model.path={policy}",
        "trainer.total_training_steps=2",
        f"trainer.default_local_dir={tmp_path / 'checkpoints'}",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            "OMP_WAIT_POLICY": "PASSIVE",
            "VERL_FILE_LOGGER_PATH": str(tmp_path / "metrics.jsonl"),
        },
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["data"]["train/loss"] for line in lines]
    assert len(losses) == 2
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
    assert (tmp_path / "checkpoints" / "global_step_2" / "huggingface" / "config.json").is_file()
