"""Every rollout is judged; nothing else is needed of it."""

from care_verl.training.run.judging import JudgingWorker, RunAgentLoopManager
from leave_one_out import LEAVE_ONE_OUT


class LeaveOneOutWorker(JudgingWorker):
    method = LEAVE_ONE_OUT


class LeaveOneOutManager(RunAgentLoopManager):
    worker_class = LeaveOneOutWorker
