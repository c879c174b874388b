"""Places in verl and its queue that the adapters rely on, beside those that they guard themselves.

A table for each subject, one entry for each place (`seam.Seam`). The tests hold them against the
verl that care-verl was written for, `care-verl doctor` against the one that is installed. Where
the code of a place differs, something relied on may be gone; that all are as known does not show
that a run goes well.
"""

from __future__ import annotations

from care_verl.seams import (
    actor,
    agent_loop,
    checkpoints,
    dataset,
    grpo_care,
    moving_reference,
    queue,
    recording,
    server,
    trainer,
)
from care_verl.seams.seam import Seam

__all__ = ["SEAMS", "Seam"]

SEAMS: tuple[Seam, ...] = (
    *trainer.SEAMS,
    *agent_loop.SEAMS,
    *dataset.SEAMS,
    *server.SEAMS,
    *queue.SEAMS,
    *actor.SEAMS,
    *checkpoints.SEAMS,
    *recording.SEAMS,
    *grpo_care.SEAMS,
    *moving_reference.SEAMS,
)
