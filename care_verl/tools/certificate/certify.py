"""The certificate: reference, all cuts, and the verdict."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from care_verl.common.versions import installed_versions
from care_verl.tools.certificate.certified_rows import choose, counts
from care_verl.tools.certificate.comparison import Breach, Distance, beyond
from care_verl.tools.certificate.cuts import CUTS
from care_verl.tools.certificate.job import DISPLACED_POINT, POINTS, ROLLOUT_POINT, Job
from care_verl.tools.certificate.processes import run_cuts, run_reference
from care_verl.tools.certificate.reference_process import FLOOR
from care_verl.training.care.capture_file import Capture, read_capture

WORK, LOGS = "certificate_work", "certificate_logs"
"""Folders below the one for the table, emptied at the beginning."""

LARGEST_LOG_RATIO = 1e-2
"""A policy whose ratios are farther from 1 than this did not make the rollouts."""

_PACKAGES = ("care-verl", "verl", "vllm", "torch", "transformers", "tensordict")


@dataclass(frozen=True)
class Measurement:
    """The distances of one cut at one point; `rows` of each rank, padding included."""

    point: str
    cut: str
    ranks: int
    rows: list[int]
    distances: dict[str, Distance]

    def breaches(self, floor: Distance) -> list[Breach]:
        """What is beyond its bound, where float32 alone makes the distance `floor`."""
        return [
            Breach(self.point, self.cut, self.ranks, group, *found)
            for group, measured in self.distances.items()
            for found in beyond(group, measured, floor)
        ]


@dataclass(frozen=True)
class Certificate:
    """What was measured. It holds where nothing is beyond its bound.

    captured, chosen: counts of rows and groups of the step, and of those that were taken.
    facts: of each point, the reference's own numbers. scale: of the displacement.
    notes: what the certificate does not say.
    """

    capture: Path
    model: Path
    step: int
    captured: dict[str, int]
    chosen: dict[str, int]
    versions: dict[str, str]
    scale: float
    facts: dict[str, dict[str, Any]]
    floors: dict[str, Distance]
    measurements: list[Measurement]
    notes: list[str]

    @property
    def breaches(self) -> list[Breach]:
        return [
            breach
            for item in self.measurements
            for breach in item.breaches(self.floors[item.point])
        ]


def certify(capture: Path, out: Path, limit: int, model: Path | None = None) -> Certificate:
    """Make the certificate of a capture; `out` gets the processes' logs.

    Raises CaptureError for a file that is no capture, ValueError for one that none can be made of.
    """
    read = read_capture(capture)
    rows = choose(read.rows, limit)
    taken = counts([*rows.trained, *rows.dropped])
    policy = Path(read.model) if model is None else model
    if not (policy / "config.json").exists():
        raise ValueError(
            f"{policy} is no folder with a model; give --model the policy that made the rollouts"
        )
    job = Job(capture, policy, limit, out / WORK, out / LOGS)
    for folder in (job.work, job.logs):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    run_reference(job)
    run_cuts(job, CUTS)
    found = json.loads(job.facts.read_text())
    facts = found["points"]
    floors = {point: Distance(**facts[point].pop(FLOOR)) for point in POINTS}
    measurements = _measurements(job)
    shutil.rmtree(job.work)
    return Certificate(
        capture=capture,
        model=policy,
        step=read.step,
        captured=counts(read.rows),
        chosen=taken,
        versions={"Python": platform.python_version(), **installed_versions(_PACKAGES)},
        scale=found["scale"],
        facts=facts,
        floors=floors,
        measurements=measurements,
        notes=_notes(read, taken, facts),
    )


def _measurements(job: Job) -> list[Measurement]:
    """One for each point and cut, both precisions together."""
    merged: dict[tuple[str, str, int], Measurement] = {}
    for ranks in sorted({cut.ranks for cut in CUTS}):
        for item in json.loads(job.results(ranks).read_text()):
            key = item["point"], item["cut"]["name"], ranks
            distances = {name: Distance(**value) for name, value in item["distances"].items()}
            if key in merged:
                distances = merged[key].distances | distances
            merged[key] = Measurement(*key, rows=item["rows"], distances=distances)
    order = {point: place for place, point in enumerate(POINTS)}
    return sorted(merged.values(), key=lambda item: order[item.point])


def _notes(capture: Capture, chosen: dict[str, int], facts: dict[str, Any]) -> list[str]:
    missing = [name for name, count in chosen.items() if not count]
    notes = [f"no {name} in the rows taken: nothing is proved of them" for name in missing]
    if facts[ROLLOUT_POINT]["largest_log_ratio"] > LARGEST_LOG_RATIO:
        notes.append(
            "the model is not the policy that made the rollouts (|log ρ| up to "
            f"{facts[ROLLOUT_POINT]['largest_log_ratio']:.2g}): give --model that step's policy"
        )
    displaced = facts[DISPLACED_POINT]
    for sign, clipped in zip(("positive", "negative"), displaced["clipped"], strict=True):
        if not clipped:
            notes.append(f"no {sign} token is clipped at the displaced policy")
    if capture.loss["entropy_coeff"]:
        notes.append("the run adds an entropy term, which Eqs. 12 and 13 do not have")
    if capture.loss["kl_loss_type"] not in ("low_var_kl", "k3"):
        notes.append(f"the run's KL estimator is {capture.loss['kl_loss_type']}, not k3")
    return notes
