"""One data-parallel rank: every cut at every point, in both precisions.

verl is imported inside `run_rank`, which first chooses its platform.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from care_verl.tools.certificate.comparison import BETWEEN, FLOAT32, FLOAT64, Distance, distance
from care_verl.tools.certificate.cuts import Cut, place
from care_verl.tools.certificate.job import POINTS, Job

PRECISIONS = (FLOAT64, FLOAT32)
LOSS = "loss"


def run_rank(rank: int, job: Job, cuts: Sequence[Cut], ranks: int, port: int) -> None:
    """One rank of all cuts that have `ranks`, at both points and in both precisions."""
    os.environ["VERL_PLATFORM"] = "cpu"
    from care_verl.tools.certificate.engine import Actor, join_ranks, shares

    join_ranks(rank, ranks, port)
    capture, rows = job.read()
    results = []
    for point in POINTS:
        truth = Truth.read(job, point)
        for precision in PRECISIONS:
            actor = Actor(job.policy(point), capture, precision)
            for cut in cuts:
                placed = place(cut, rows, shares)
                loss, gradients = actor.update(cut, placed[rank])
                if rank > 0:
                    continue
                distances = {precision: truth.distance(loss, gradients)}
                if precision == FLOAT64:
                    first = truth.of_first_cut(job.first_cut(point), loss, gradients)
                    distances[BETWEEN] = first.distance(loss, gradients)
                results.append(
                    {
                        "point": point,
                        "cut": asdict(cut),
                        "rows": [len(share) for share in placed],
                        "distances": {name: asdict(d) for name, d in distances.items()},
                    }
                )
    if rank == 0:
        job.results(ranks).write_text(json.dumps(results))


@dataclass(frozen=True)
class Truth:
    """What cuts are measured against: loss, gradients, and the scale of the loss."""

    loss: float
    gradients: dict[str, torch.Tensor]
    mass: float

    @classmethod
    def read(cls, job: Job, point: str) -> Truth:
        """The reference at a point."""
        facts = json.loads(job.facts.read_text())["points"][point]
        return cls(facts["loss"], load_file(job.gradients(point)), facts["mass"])

    def distance(self, loss: float, gradients: Mapping[str, torch.Tensor]) -> Distance:
        return distance(loss, gradients, self.loss, self.gradients, self.mass)

    def of_first_cut(self, path: Path, loss: float, gradients: dict[str, torch.Tensor]) -> Truth:
        """The cut that was made first at this point, which is this one where there is none."""
        if not path.exists():
            save_file({**gradients, LOSS: torch.tensor(loss, dtype=torch.float64)}, path)
        held = load_file(path)
        return Truth(float(held.pop(LOSS)), held, self.mass)
