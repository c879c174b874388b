"""Names of training prompts, made of the step and the place in it."""

from __future__ import annotations


class PromptIds:
    """Hands out `s000012p00003`: the fourth prompt of step 12.

    They sort as they were handed out. Without an underscore, at which verl cuts the keys of rows.
    """

    def __init__(self) -> None:
        self._step = -1
        self._taken = 0

    def take(self, step: int, count: int) -> list[str]:
        """The next `count` ids of a step; prompts drawn later in the same step go on counting."""
        if step != self._step:
            self._step, self._taken = step, 0
        places = range(self._taken, self._taken + count)
        self._taken = places.stop
        return [f"s{step:06d}p{place:05d}" for place in places]
