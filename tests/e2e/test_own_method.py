"""A third method, which nothing in care-verl knows: two steps, their record, and the tools on it.

The method is the example of `docs/own-method.md`. Whether it learns is not asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.own_method import NAME, installed

from .running import Run

pytestmark = [pytest.mark.e2e, pytest.mark.proof]


def test_two_steps_are_trained_recorded_reported_and_replayed(
    overrides: list[str], tmp_path: Path
) -> None:
    variables = installed(tmp_path / "site")
    folder = tmp_path / "checkpoints"
    settings = [
        *overrides,
        f"algorithm.adv_estimator={NAME}",
        f"++algorithm.{NAME}.records.samples=2",
        f"trainer.default_local_dir={folder}",
    ]
    with Run(tmp_path / "run", settings, variables) as run:
        assert run.finish() == 0, run.tail()
        assert run.leftovers() == []
    for _, metrics in run.metrics():
        assert 0 < metrics[f"{NAME}/acc/mean"] < 1
        assert metrics["actor/grad_norm"] > 0
        assert metrics[f"{NAME}/groups/failed"] == 0
    rows = json.loads(asked(variables, "-c", ROWS, str(folder)))
    for group in rows.values():
        rewards = [row["reward"] for row in group]
        for row in group:
            others = (sum(rewards) - row["reward"]) / (len(rewards) - 1)
            assert row["baseline"] == pytest.approx(others, abs=1e-5)
            assert row["advantage"] == pytest.approx(row["reward"] - others, abs=1e-5)
            assert (row["role"], row["accurate"]) == (None, None)

    care_verl = ("-m", "care_verl.cli")
    asked(variables, *care_verl, "report", str(folder), "--out", str(tmp_path / "report"))
    page = (tmp_path / "report" / "summary.md").read_text("utf-8")
    assert f"- **{NAME}**" in page
    assert "accuracy of rollouts, first → last step" in page
    asked(variables, *care_verl, "replay", str(folder), "--out", str(tmp_path / "replay"))
    told = json.loads((tmp_path / "replay" / "replay.json").read_text("utf-8"))
    assert [one["name"] for one in told["outcomes"]][-1] == "Leave-one-out, recorded"
    asked(variables, *care_verl, "atlas", str(folder), "--step", "2", "--out", str(tmp_path / "a"))


ROWS = """
import json, sys
from care_verl.records.files import RunRecord
groups = {}
for row in RunRecord.find(__import__("pathlib").Path(sys.argv[1])).step(2).rows(
    ["uid", "reward", "advantage", "baseline", "role", "accurate"]
):
    groups.setdefault(row.pop("uid"), []).append(row)
print(json.dumps(groups))
"""


def asked(variables: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
