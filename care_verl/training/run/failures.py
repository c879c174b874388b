"""Groups that lost a session: thrown away whole, reported by a worker, counted by the trainer.

Advantages compare the rows of a group, so a group without all of its rows is not compared. Its rows
leave the queue before verl is told that it failed; verl then drops the prompt for this step, or
draws another one with `trainer.v1.sampler.sync_refill_failed_groups=True`.
"""

from __future__ import annotations

import functools
from typing import Any

import ray
import transfer_queue as tq
from omegaconf import DictConfig

from care_verl.common.errors import CareVerlError
from care_verl.platform.places import BUFFER, QUEUE_WORKER
from care_verl.platform.seam import Seam
from care_verl.training.run.liveness import check_while_polling
from care_verl.training.run.misfit import MisfitError

REPORTS = "care_failed_groups"
"""A partition of the queue of its own; its keys are prompts, their tags the cause, and `ENDS_RUN`
where every other group will fail for it too."""

CAUSE = "cause"
ENDS_RUN = "ends_run"
ROWS = "train"
_LONGEST_CAUSE = 1000
_NOTHING_LEFT = "no materializable trajectories"
"""In verl's error for a step without any row."""


RELIES_ON = (
    Seam(
        f"{QUEUE_WORKER}._run_prompt",
        "a prompt is published when every session has settled",
        "session_errors = await _settle_session_tasks(tasks)",
        'status = "failure"',
    ),
    Seam(
        f"{BUFFER}._terminal_eviction_reasons",
        "a failed group is refilled when no row of it is left",
        "failed_uids = self.failure_keys[partition_id] - materializable_uids",
    ),
    Seam(
        f"{BUFFER}._sync_metadata_from_transfer_queue",
        "the buffer's snapshot holds every partition",
        "data = tq.kv_list()",
        "for partition_id, items in data.items()",
    ),
    Seam(
        f"{BUFFER}.sample",
        "failures.sample",
        parameters="self, global_steps, partition_id, batch_size",
    ),
)


class GroupsFailedError(CareVerlError, RuntimeError):
    """So many groups failed in one step that the cause is not one bad row."""


async def discard_group(uid: str, cause: str) -> None:
    """Remove every row of a group from the queue and report it. Nobody may be adding rows."""
    listed = await tq.async_kv_list(ROWS)
    rows = [key for key in listed.get(ROWS, {}) if key.startswith(f"{uid}_")]
    if rows:
        await tq.async_kv_clear(keys=rows, partition_id=ROWS)
    await tq.async_kv_put(key=uid, partition_id=REPORTS, tag={CAUSE: cause})


async def report_misfit(uid: str, cause: str) -> None:
    """Have the trainer end the run at its next look, while the group is still being decoded."""
    await tq.async_kv_put(key=uid, partition_id=REPORTS, tag={CAUSE: cause, ENDS_RUN: True})


def one_line(error: BaseException) -> str:
    """Type and message of an error; of one that a Ray actor raised, without Ray's wrapping."""
    inner = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    return " ".join(f"{type(inner).__name__}: {inner}".split())[:_LONGEST_CAUSE]


class FailedGroups:
    """Watches a verl replay buffer for groups that were discarded.

    Args:
        replay_buffer: the trainer's; its snapshot of the queue holds the reports too.
        limit: failed groups of one step that end the run. Without it a fault that is in every
            group would be answered with new prompts for ever.
    """

    def __init__(self, replay_buffer: Any, limit: int) -> None:
        self._buffer = replay_buffer
        self._limit = limit
        check_while_polling(replay_buffer, self._check)
        replay_buffer.sample = self._explained(replay_buffer.sample)

    def take(self) -> int:
        """How many groups failed since the last call."""
        reports = list(self._reports())
        if reports:
            tq.kv_clear(keys=reports, partition_id=REPORTS)
        return len(reports)

    def count(self, error: type[Exception]) -> int:
        """How many of those that `take` would count failed first by this error."""
        return sum(f"{error.__name__}: " in tag[CAUSE] for tag in self._reports().values())

    def _reports(self) -> dict[str, dict[str, Any]]:
        return dict(self._buffer.partitions.get(REPORTS, {}))

    def _check(self) -> None:
        reports = self._reports().values()
        if len(reports) > self._limit or any(report.get(ENDS_RUN) for report in reports):
            raise self._error()

    def _explained(self, sample: Any) -> Any:
        """verl's `sample`, which says only that nothing is left where every group failed."""

        @functools.wraps(sample)
        def explained(*args: Any, **kwargs: Any) -> Any:
            try:
                return sample(*args, **kwargs)
            except RuntimeError as error:
                if _NOTHING_LEFT not in str(error) or not self._reports():
                    raise
                raise self._error() from error

        return explained

    def _error(self) -> GroupsFailedError | MisfitError:
        reports = list(self._reports().values())
        for report in reports:
            if report.get(ENDS_RUN):
                return MisfitError(
                    f"{report[CAUSE]}. Every other group would fail as well, which ends the run: "
                    "mend the cause and start it again"
                )
        first = reports[0][CAUSE]
        return GroupsFailedError(
            f"{len(reports)} groups failed in this step, which ends the run; the first: {first}. "
            "Every failure is logged above, with its traceback. Mend the cause and resume from the "
            "last checkpoint"
        )


def failed_groups_limit(config: DictConfig) -> int:
    """Failed groups of one step above which the run ends: twice the step's groups, at least 16."""
    return max(16, 2 * int(config.data.train_batch_size))
