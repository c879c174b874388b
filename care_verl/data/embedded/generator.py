"""Examples of the embedded task without end, each a function of (seed, split, index).

Splits `sft` and `train` draw from the charts that training may show, `test` from the charts that
are held out (`Chart.held_out`): the two sets of charts have no member in common, for any pair of
seeds and any sizes.
"""

import random
from dataclasses import dataclass
from typing import Literal, get_args

from care_verl.data.embedded.charts import BARS, COLOURS, MAX_HEIGHT, Bar, Chart
from care_verl.data.embedded.questions import Question, draw_question

Split = Literal["sft", "train", "test"]


@dataclass(frozen=True)
class Example:
    """A chart, a question about it, and where it was drawn from."""

    chart: Chart
    question: Question
    seed: int
    split: Split
    index: int

    @property
    def readings(self) -> dict[str, int]:
        """True height of each colour that is asked about, in the question's order."""
        heights = self.chart.heights
        return {colour: heights[colour] for colour in self.question.colours}

    @property
    def answer(self) -> str:
        """The gold answer."""
        return str(self.question.answer(list(self.readings.values())))


def example(seed: int, split: Split, index: int) -> Example:
    """The example number `index` of a split: the same for the same three arguments, everywhere."""
    if split not in get_args(Split):
        raise ValueError(f"split is {split!r}; expected one of {', '.join(get_args(Split))}")
    rng = random.Random(f"chart/{seed}/{split}/{index}")
    chart = _draw_chart(rng)
    while chart.held_out != (split == "test"):
        chart = _draw_chart(rng)
    return Example(chart, draw_question(chart, rng), seed, split, index)


def _draw_chart(rng: random.Random) -> Chart:
    colours = rng.sample(list(COLOURS), BARS)
    return Chart(tuple(Bar(colour, rng.randint(1, MAX_HEIGHT)) for colour in colours))
