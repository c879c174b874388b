"""GRPO-CARE's agent-loop workers."""

from __future__ import annotations

from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.training.run.judging import JudgingWorker, RunAgentLoopManager


class GrpoCareAgentLoopWorker(JudgingWorker):
    """Needs the answer's place in each row, which every judged row has."""

    method = GRPO_CARE


class GrpoCareAgentLoopManager(RunAgentLoopManager):
    """verl's manager with GRPO-CARE's workers."""

    worker_class = GrpoCareAgentLoopWorker
