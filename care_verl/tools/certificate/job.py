"""What the processes of a certificate share: rows, policies and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from care_verl.tools.certificate.certified_rows import ChosenRows, choose
from care_verl.training.care.capture_file import Capture, read_capture

ROLLOUT_POINT, DISPLACED_POINT = "policy of the rollouts", "displaced policy"
POINTS = (ROLLOUT_POINT, DISPLACED_POINT)
"""Where the update is computed: at rho = 1, and where Eq. 12 clips."""


@dataclass(frozen=True)
class Job:
    """What every process needs.

    capture: the file; model: the policy that made its rollouts; limit: rows of S* to take;
    work: the folder that the processes share; logs: where they print to.
    """

    capture: Path
    model: Path
    limit: int
    work: Path
    logs: Path

    def read(self) -> tuple[Capture, ChosenRows]:
        capture = read_capture(self.capture)
        return capture, choose(capture.rows, self.limit)

    def policy(self, point: str) -> Path:
        return self.model if point == ROLLOUT_POINT else self.work / "displaced"

    def gradients(self, point: str) -> Path:
        return self.work / f"reference_{POINTS.index(point)}.safetensors"

    @property
    def facts(self) -> Path:
        return self.work / "reference.json"

    def first_cut(self, point: str) -> Path:
        return self.work / f"first_cut_{POINTS.index(point)}.safetensors"

    def results(self, ranks: int) -> Path:
        return self.work / f"ranks_{ranks}.json"
