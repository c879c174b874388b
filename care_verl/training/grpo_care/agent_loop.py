"""GRPO-CARE's agent-loop workers."""

from __future__ import annotations

from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.platform.places import QUEUE_MANAGER
from care_verl.platform.seam import Seam
from care_verl.training.run.judging import JudgingWorker, RunAgentLoopManager

RELIES_ON = (
    Seam(
        f"{QUEUE_MANAGER}.__init__",
        "the manager names the worker class that GRPO-CARE replaces",
        "self.agent_loop_workers_class = AgentLoopWorkerTQ",
        "super().__init__(*args, **kwargs)",
    ),
)


class GrpoCareAgentLoopWorker(JudgingWorker):
    """Needs the answer's place in each row, which every judged row has."""

    method = GRPO_CARE


class GrpoCareAgentLoopManager(RunAgentLoopManager):
    """verl's manager with GRPO-CARE's workers."""

    worker_class = GrpoCareAgentLoopWorker
