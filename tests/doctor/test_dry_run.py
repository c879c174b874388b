"""`--dry-run`: what is written, and that the script gets what it needs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor.dry_run import SCRIPT, ScriptChangedError, render, scripts, write_plan

from .told import all_well, the_warning


def test_the_configuration_is_written_resolved(
    completed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    config = completed()
    assert all_well(write_plan(tmp_path, config, ["+recipe=embedded"]))
    written = OmegaConf.load(tmp_path / "config.yaml")
    assert written == OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    assert "${" not in (tmp_path / "config.yaml").read_text()


def test_the_script_stands_by_itself(completed: Callable[..., DictConfig], tmp_path: Path) -> None:
    """It is read by bash, and gets the overrides in front of those given to sbatch. Whether Slurm
    runs it is not shown.
    """
    folder = tmp_path / "a plan"
    overrides = ["+recipe=embedded", "data.train_files=/x/it's here.parquet", "trainer.nnodes=9"]
    config = completed("trainer.nnodes=2", "trainer.n_gpus_per_node=4")
    write_plan(folder, config, overrides)
    text = (folder / SCRIPT).read_text()
    assert "#SBATCH --nodes=2\n" in text
    assert "#SBATCH --gpus-per-node=4\n" in text
    assert "nnodes" not in text
    # The shared functions, replaced by one that prints what it is handed.
    (folder / "common.sh").write_text(
        'care_prepare() { :; }\ncare_main_ppo() { printf "%s\\n" "$@"; }\n'
    )
    done = subprocess.run(
        ["bash", str(folder / SCRIPT), "trainer.save_freq=5"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [*overrides[:2], "trainer.save_freq=5"]


def test_what_the_script_refuses_is_left_out_and_told(
    completed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    findings = write_plan(tmp_path, completed(), ["trainer.default_local_dir=/shared/run"])
    assert "CARE_RUN_DIR=" in the_warning(findings, "trainer.default_local_dir=/shared/run").change
    assert "default_local_dir" not in (tmp_path / SCRIPT).read_text()


def test_a_script_with_another_line_is_refused(tmp_path: Path) -> None:
    """Contract with `examples/slurm/train.sbatch`, whose lines are filled in."""
    template = (scripts() / SCRIPT).read_text()
    with pytest.raises(ScriptChangedError, match="nodes=2"):
        render(template.replace("--nodes=2", "--nodes=3"), 4, 8, tmp_path, [])
