"""Questions about a chart, in levels of growing difficulty, and their gold answers."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from care_verl.data.embedded.charts import Chart


@dataclass(frozen=True)
class Level:
    """One kind of question.

    template: the question's text, with a place for each colour it asks about.
    compute: the gold answer from the heights of these colours, in the order of the template.
    """

    name: str
    template: str
    compute: Callable[..., int]
    operands: int


LEVELS = MappingProxyType(
    {
        level.name: level
        for level in (
            Level("larger", "larger of {} and {}?", max, 2),
            Level("sum", "{} plus {}?", lambda a, b: a + b, 2),
            Level("difference", "{} minus {}?", lambda a, b: a - b, 2),
            Level("product", "{} times {}?", lambda a, b: a * b, 2),
        )
    }
)


@dataclass(frozen=True)
class Question:
    """A question of one level about some of a chart's colours, in the order of its text."""

    level: str
    colours: tuple[str, ...]

    @property
    def text(self) -> str:
        """The question as it is asked."""
        return LEVELS[self.level].template.format(*self.colours)

    def answer(self, heights: Sequence[int]) -> int:
        """The result for `heights`, given in the order of `colours`."""
        return LEVELS[self.level].compute(*heights)


def draw_question(chart: Chart, rng: random.Random) -> Question:
    """A question of a random level about random bars of `chart`; its answer is never negative."""
    level = LEVELS[rng.choice(list(LEVELS))]
    colours = rng.sample(list(chart.heights), level.operands)
    if level.name == "difference":
        colours.sort(key=lambda colour: -chart.heights[colour])
    return Question(level.name, tuple(colours))
