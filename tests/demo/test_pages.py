"""The demo's last lines: where its report and its atlas lie, made of a record by the algorithm."""

from __future__ import annotations

import json
from pathlib import Path

from care_verl.tools.demo.pages import draw_pages
from tests.records.samples import write_sample_run


def test_a_recorded_run_has_a_report_and_an_atlas(tmp_path: Path) -> None:
    write_sample_run(tmp_path / "records", steps=2)
    pages = draw_pages(tmp_path)
    assert "steps | 2" in pages["report"].read_text()
    assert "s000002p00000" in pages["atlas"].read_text()


def test_a_run_of_another_estimator_has_a_report(tmp_path: Path) -> None:
    steps = [{"step": 1, "data": {"critic/rewards/mean": 0.25, "timing_s/step": 8.0}}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    pages = draw_pages(tmp_path)
    assert list(pages) == ["report"]
    assert "steps | 1" in pages["report"].read_text()
