"""The tools on a run that kept its last steps only (`records.keep`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from care_verl.cli import app
from care_verl.records.files import RunRecord
from care_verl.records.schema import RecordError
from care_verl.records.writing import drop_old_steps

from .samples import write_sample_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steps, of which 4 and 5 are kept."""
    folder = tmp_path_factory.mktemp("run")
    drop_old_steps(write_sample_run(folder / "records", steps=5), newest=5, keep=2)
    return folder


def care_verl(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_report_is_of_the_steps_that_are_there(run: Path, tmp_path: Path) -> None:
    """96 rows of two steps and 11 reflections; what 1 to 3 decoded it says to be a guess."""
    care_verl("report", run, "--out", tmp_path)
    summary = (tmp_path / "summary.md").read_text("utf-8")
    assert "| rows rolled out | 107 |" in summary
    assert "decoded tokens of 3 steps of *care K=4* without metrics are interpolated" in summary
    assert "damaged" not in summary


def test_the_atlas_searches_the_steps_that_are_there(run: Path, tmp_path: Path) -> None:
    care_verl("atlas", run, "--repaired", "--out", tmp_path / "atlas.html")
    page = (tmp_path / "atlas.html").read_text("utf-8")
    assert "s000004p" in page or "s000005p" in page
    assert "s000003p" not in page


def test_the_rollouts_that_are_there_are_replayed(run: Path, tmp_path: Path) -> None:
    care_verl("replay", run, "--out", tmp_path)
    found = json.loads((tmp_path / "replay.json").read_text())
    assert found["recorded_distance"] < 1e-5


def test_a_step_that_was_dropped_is_told(run: Path) -> None:
    with pytest.raises(RecordError, match="step 2 is not in .* holds 2 steps from 4 to 5"):
        RunRecord.find(run).step(2)
