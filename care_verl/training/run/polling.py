"""How often the trainer looks into verl's queue while rollouts are under way.

verl sleeps 2 s between two looks, in which a small model decodes a whole batch. A look asks for the
tags of every key: 31 ms with 5,120 of them, so that 0.05 s of sleep would spend a third of the time
on looking, in the trainer and in the queue's controller that the rollouts write to.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from care_verl.platform.places import BUFFER
from care_verl.platform.seam import Seam

SHORTEST_SECONDS = 0.05
SLEEP_PER_LOOK = 20
"""The next sleep is so many times as long as the last look took: less than 5 % of the time goes
into looking."""


RELIES_ON = (
    Seam(
        f"{BUFFER}._wait_for_next_poll",
        "the buffer sleeps as long as it is told",
        "time.sleep(self.poll_interval)",
    ),
    Seam(
        f"{BUFFER}.sample",
        "the buffer looks before each sleep",
        "while True:",
        "self._sync_metadata_from_transfer_queue()",
        "self._wait_for_next_poll(",
    ),
    Seam(
        f"{BUFFER}._sync_metadata_from_transfer_queue",
        "polling._sync_metadata_from_transfer_queue",
        parameters="self",
    ),
)


def pace_polling(replay_buffer: Any) -> None:
    """Make a verl replay buffer sleep in proportion to its last look.

    It sleeps at most as long as verl has it do: one look that was held up says little.
    """
    look, longest = replay_buffer._sync_metadata_from_transfer_queue, replay_buffer.poll_interval
    replay_buffer.poll_interval = SHORTEST_SECONDS

    @functools.wraps(look)
    def timed_look(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        seen = look(*args, **kwargs)
        sleep = SLEEP_PER_LOOK * (time.monotonic() - began)
        replay_buffer.poll_interval = min(max(SHORTEST_SECONDS, sleep), longest)
        return seen

    replay_buffer._sync_metadata_from_transfer_queue = timed_look
