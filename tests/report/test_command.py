"""The command from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from care_verl.records.files import step_name
from care_verl.tools.cli import app
from care_verl.tools.report.figures import PLOTS
from tests.records.samples import write_consistency_run, write_sample_run

from .samples import write_graded_run

WIDE = {"COLUMNS": "400"}
"""So that no message is broken in two, however long a temporary folder's path is."""


def report(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)], env=WIDE)
    assert result.exit_code == 0, result.output
    return result.output


def test_two_seeds(tmp_path: Path) -> None:
    for seed in range(2):
        write_sample_run(tmp_path / f"seed{seed}" / "records", seed=seed)
    output = report(tmp_path / "seed0", tmp_path / "seed1")
    folder = tmp_path / "seed0" / "report"
    summary = (folder / "summary.md").read_text("utf-8")
    drawn = {path.stem for path in folder.glob("*.png")}
    assert drawn == {path.stem for path in folder.glob("*.svg")}
    assert drawn >= {"progress", "signature", "rgr", "kprime", "times"}
    for name in drawn:
        assert f"]({name}.png)]({name}.svg)" in summary
    assert "| runs | 2 |" in summary
    assert "| steps | 3 |" in summary
    assert "K′ check of care K=4: no group with graded rewards" in output
    assert str(folder / "summary.md") in output.replace("\n", "")


def test_grpo_care_beside_care(tmp_path: Path) -> None:
    write_sample_run(tmp_path / "care" / "records")
    write_consistency_run(tmp_path / "consistency" / "records")
    output = report(tmp_path / "care", tmp_path / "consistency", "--out", tmp_path / "out")
    assert "K′ check of grpo_care: not applicable: no group has an anchor" in output
    summary = (tmp_path / "out" / "summary.md").read_text("utf-8")
    assert "| | care K=4 | grpo_care |" in summary
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in summary.splitlines()}
    assert rows["| accurate rows with bonus, mean of steps"][0] == "–"
    assert "%" in rows["| accurate rows with bonus, mean of steps"][1]
    assert "%" in rows["| accuracy of rollouts, first → last step"][1]
    assert "GRPO-CARE's bonus and likelihoods" in summary
    assert "Hard negatives of a group: *grpo_care*: no `care/kprime/hist_k`" in summary


def test_the_check_is_in_the_summary(tmp_path: Path) -> None:
    write_graded_run(tmp_path / "run", steps=4, groups=20)
    output = report(tmp_path / "run", "--out", tmp_path / "out")
    assert "holds: r = " in output
    assert "| K′ check | holds: r = 1.00000, 1.00000" in (tmp_path / "out/summary.md").read_text()


def test_what_is_missing_is_listed(tmp_path: Path) -> None:
    """A damaged step, a run with metrics only; and no figure of an earlier report is left over."""
    record = write_sample_run(tmp_path / "care" / "records")
    (record / step_name(2)).write_bytes(b"PAR1")
    other = tmp_path / "grpo" / "metrics.jsonl"
    other.parent.mkdir()
    other.write_text(json.dumps({"step": 1, "data": {"critic/rewards/mean": 0.5}}) + "\n")
    names = ["--name", "CARE", "--name", "GRPO"]
    report(tmp_path / "care", other, *names, "--out", tmp_path / "out")
    summary = (tmp_path / "out/summary.md").read_text("utf-8")
    missing = summary.split("## What is missing or doubtful")[1]
    assert f"{step_name(2)}` is damaged" in missing
    assert "decoded tokens of 1 steps of *CARE*" in missing
    assert "Hard negatives of a group: *GRPO*" in missing
    assert (tmp_path / "out/kprime.png").exists()

    report(other, "--out", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "progress.png",
        "progress.svg",
        "summary.md",
    ]
    summary = (tmp_path / "out/summary.md").read_text("utf-8")
    for plot in PLOTS[1:]:
        assert f"- {plot.title}: " in summary


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path)], env=WIDE)
    assert result.exit_code == 2
    assert "holds no record" in result.output
    write_sample_run(tmp_path / "records", steps=1)
    two = ["report", str(tmp_path), "--name", "a", "--name", "b"]
    assert "2 names for 1 runs" in CliRunner().invoke(app, two, env=WIDE).output


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("care_verl.tools.report.command", "matplotlib numpy torch verl ray vllm"),
        ("care_verl.tools.report.write", "torch verl ray vllm"),
    ],
)
def test_it_starts_light(module: str, absent: str) -> None:
    code = f"import sys, {module}; print([m for m in {absent.split()} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
