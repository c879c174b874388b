"""The soak report tells growth from noise, on series made for it.

Seeded noise; how often an interval misses is counted over many series. It does not show that a
real run's noise is of this kind.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from . import report
from .sampling import role, shared_memory
from .trend import Trend, trend

STEPS = np.arange(1, 241)


def noise(seed: int, correlation: float, deviation: float = 2.0) -> np.ndarray:
    """An autoregressive series over `STEPS` with this correlation of neighbours."""
    drawn = np.random.default_rng(seed).normal(size=len(STEPS))
    values = np.zeros(len(STEPS))
    for i in range(1, len(STEPS)):
        values[i] = correlation * values[i - 1] + drawn[i]
    return deviation * values * np.sqrt(1 - correlation**2)


def line(slope: float, seed: int, correlation: float = 0.0) -> Trend:
    found = trend(STEPS, 500 + slope / 100 * STEPS + noise(seed, correlation))
    assert found is not None
    return found


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("slope", [0.0, 30.0])
def test_the_interval_holds_the_slope(correlation: float, slope: float) -> None:
    """Of 300 series at most one in eight outside, for a nominal one in twenty: correlation that
    outlives the blocks is corrected for roughly only."""
    lines = [line(slope, seed, correlation) for seed in range(300)]
    missed = sum(abs(one.slope - slope) > one.half_width for one in lines)
    assert missed <= 300 / 8


@pytest.mark.parametrize("seed", range(5))
def test_verdicts(seed: int) -> None:
    """Noise of 2 MiB about 500; a leak of 20 MiB in 100 steps; a tolerance of 5."""
    assert line(0.0, seed).verdict(5.0) == "flat"
    assert line(20.0, seed).verdict(5.0) == "growing"
    assert line(-20.0, seed).verdict(5.0) == "flat"


def test_too_short_or_too_noisy_a_run_says_so() -> None:
    assert trend([1, 2, 3], [1, 2, 3]) is None
    assert Trend(level=1.0, slope=4.0, half_width=3.0, blocks=9).verdict(5.0) == "unclear"


def test_a_constant_and_a_perfect_line() -> None:
    assert trend(STEPS, np.full(len(STEPS), 7.0)) == Trend(7.0, 0.0, 0.0, 25)
    perfect = trend(STEPS, STEPS / 10)
    assert perfect is not None
    assert (perfect.slope, perfect.half_width) == pytest.approx((10.0, 0.0), abs=1e-6)


def test_roles() -> None:
    assert role("python -m verl.trainer.main_ppo +recipe=embedded") == "driver"
    assert role("ray::CareVLLMServer.generate") == "vLLM server"
    assert role("/site-packages/ray/core/src/ray/gcs/gcs_server --log") == "Ray GCS"
    assert role("ray::IDLE") == "other processes"


def test_shared_memory_is_counted_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "one").write_bytes(b"12")
    (tmp_path / "inner" / "two").write_bytes(b"345")
    assert shared_memory(tmp_path) == (2, 5)


def write_run(folder: Path, leak: float) -> None:
    """A run of 240 steps whose agent-loop worker gains `leak` MiB in 100 steps after step 60."""
    samples, metrics = [], []
    for step in STEPS.tolist():
        held = {"uss_mib": 600 + leak / 100 * step, "descriptors": 50, "threads": 90}
        rising = {"uss_mib": min(step, 50.0) * 10, "descriptors": 9, "threads": 2}
        roles = {"agent-loop worker": held, "trainer": rising}
        samples.append({"step": step, "roles": roles, "shm_files": 3, "shm_mib": 400.0})
        data = {"timing_s/step": 6.5 + 0.5 * (step % 2), "care/queue/rows": 0.0}
        metrics.append({"step": step, "data": data})
    for name, records in {"samples": samples, "metrics": metrics}.items():
        lines = [json.dumps(record) + "\n" for record in records]
        (folder / f"{name}.jsonl").write_text("".join(lines))


@pytest.mark.parametrize(("leak", "verdict"), [(0.0, "flat"), (20.0, "growing")])
def test_a_report_finds_what_grows(tmp_path: Path, leak: float, verdict: str) -> None:
    """The trainer fills its caches in the warm-up only."""
    write_run(tmp_path, leak)
    found = {(one.name, one.unit): one.verdict for one in report.write(tmp_path, warm_up=60)}
    assert found.pop(("agent-loop worker", "uss_mib")) == verdict
    assert set(found.values()) == {"flat"}
    assert ("care/queue/rows", "queue_rows") in found
    assert (
        f"| agent-loop worker | uss_mib | {600 + leak * 1.5:.4g}"[:40]
        in (tmp_path / "soak.md").read_text()
    )
    assert json.loads((tmp_path / "soak.json").read_text())["warm_up"] == 60
