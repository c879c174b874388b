"""Demonstrations for the cold start: imperfect ones, on purpose.

A cold start that learned only right answers would leave nothing to reinforce, and how far a short
one gets would depend on the speed of the machine. So the demonstrations err at known rates: a bar
is now and then misread by one or two, and a result is often that of another operation. What the
policy learns from them is a distribution in which the right answer is the likeliest one, but far
from certain, in both steps, the reading and the computing. The rates are part of this data set's
definition. A misread bar is carried on: the result is computed from the readings as written.

A few demonstrations are revised: the readings stand twice, with the cue of reflection between them,
and the second time all is right. They teach what the cue means, as a pretrained model would know.
The policy then writes the cue unasked about as often as the demonstrations hold it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from care_verl.data.embedded.charts import MAX_HEIGHT
from care_verl.data.embedded.generator import Example
from care_verl.data.embedded.questions import LEVELS

# Shorter than the paper's cue: with responses of ten tokens, thirty for the cue would double the
# time of each update.
REVISION_CUE = "Look again."


@dataclass(frozen=True)
class NoiseRates:
    """How often a demonstration errs, and how often one is revised. Each from 0 to 1.

    misread: chance, for each bar that is read, of a wrong reading.
    miscompute: chance, for each answer, of another operation's result.
    revised: chance, for each demonstration, that it goes on to a second, right reading.
    """

    misread: float = 0.1
    miscompute: float = 0.4
    revised: float = 0.08


def demonstration(example: Example, rates: NoiseRates) -> str:
    """A response to `example`, right or wrong by `rates`; the same at every call."""
    rng = random.Random(f"demonstration/{example.seed}/{example.split}/{example.index}")
    readings = {
        colour: _misread(height, rng) if rng.random() < rates.misread else height
        for colour, height in example.readings.items()
    }
    if rng.random() < rates.revised:
        rationale = [rationale_text(readings), REVISION_CUE, rationale_text(example.readings)]
        return response_text("\n".join(rationale), example.answer)
    heights = list(readings.values())
    result = example.question.answer(heights)
    if rng.random() < rates.miscompute:
        result = _miscompute(example, heights, rng)
    return response_text(rationale_text(readings), str(result))


def rationale_text(readings: dict[str, int]) -> str:
    """The readings as a rationale, such as `red3 blue5`.

    The height stands directly behind the colour: with a sign between them, the model would have to
    learn to look back for the colour before it can look for the bar, which takes it much longer.
    """
    return " ".join(f"{colour}{height}" for colour, height in readings.items())


def response_text(rationale: str, answer: str) -> str:
    """A response in the task's form."""
    return f"<think>{rationale}</think><answer>{answer}</answer>"


def _misread(height: int, rng: random.Random) -> int:
    near = [h for h in range(height - 2, height + 3) if h != height and 1 <= h <= MAX_HEIGHT]
    return rng.choice(near)


def _miscompute(example: Example, readings: Sequence[int], rng: random.Random) -> int:
    """What another operation makes of the readings."""
    right = example.question.answer(readings)
    others = (level.compute(*readings) for level in LEVELS.values())
    return rng.choice(sorted({result for result in others if result >= 0} - {right}))
