"""The command as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from care_verl.tools.doctor.command import doctor

app = typer.Typer()
app.command()(doctor)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.mark.slow
def test_a_sound_run_passes(sound: list[str], tmp_path: Path) -> None:
    """Every check ran: what is shown is that none of them cries wolf."""
    result = run(*sound, "--json", str(tmp_path / "findings.json"), "--print")
    assert result.exit_code == 0, result.output
    findings = json.loads((tmp_path / "findings.json").read_text())
    assert {each["level"] for each in findings} == {"ok"}
    assert {each["check"] for each in findings} == {
        "versions",
        "model runner",
        "plugin",
        "configuration",
        "numbers",
        "token budgets",
        "model",
        "data",
        "verifier",
        "memory (estimate)",
        "disk",
        "shared memory",
        "resources",
    }
    assert "adv_estimator: care" in result.output


@pytest.mark.slow
def test_faults_are_all_listed_and_the_status_is_1(sound: list[str], tmp_path: Path) -> None:
    faults = [
        "++algorithm.care.K=8",
        "data.train_batch_size=40",
        "actor_rollout_ref.rollout.max_model_len=100",
        "data.val_files=/nowhere.parquet",
        f"trainer.default_local_dir={tmp_path}",
    ]
    result = run(*sound, *faults, "--json", str(tmp_path / "findings.json"))
    assert result.exit_code == 1
    errors = [
        each["found"]
        for each in json.loads((tmp_path / "findings.json").read_text())
        if each["level"] == "error"
    ]
    assert len(errors) == 3
    assert "40 is no multiple" in errors[0]
    assert "max_model_len = 100" in errors[1]
    assert "/nowhere.parquet does not exist" in errors[2]


def test_a_log_is_explained_without_a_run(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("all is well\n")
    assert run("--log", str(log)).exit_code == 0
    log.write_text("ValueError: No available memory for the cache blocks. Try\n")
    result = run("--log", str(log))
    assert result.exit_code == 1
    assert "gpu_memory_utilization" in result.output
