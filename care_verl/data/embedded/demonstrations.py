"""Demonstrations for the cold start: imperfect ones, on purpose.

A cold start that learned only right answers would leave nothing to reinforce, and how far a short
one gets would depend on the speed of the machine. So the demonstrations err at known rates: a bar
is now and then misread by one or two, and a result is now and then off by a little. What the policy
learns from them is a distribution in which the right answer is the likeliest one, but far from
certain, in both steps, the reading and the computing. The rates are part of this data set's
definition. A misread bar is carried on: the result is computed from the readings as written.
"""

import random
from dataclasses import dataclass

from care_verl.data.embedded.charts import MAX_HEIGHT
from care_verl.data.embedded.generator import Example


@dataclass(frozen=True)
class NoiseRates:
    """How often a demonstration errs.

    misread: chance, for each bar that is read, of a wrong reading. 0 to 1.
    miscompute: chance, for each answer, of a wrong result. 0 to 1.
    """

    misread: float = 0.08
    miscompute: float = 0.4


def demonstration(example: Example, rates: NoiseRates) -> str:
    """A response to `example`, right or wrong by `rates`; the same at every call."""
    rng = random.Random(f"demonstration/{example.seed}/{example.split}/{example.index}")
    readings = {
        colour: _misread(height, rng) if rng.random() < rates.misread else height
        for colour, height in example.readings.items()
    }
    result = example.question.answer(list(readings.values()))
    if rng.random() < rates.miscompute:
        result = _miscompute(result, rng)
    return response_text(readings, str(result))


def response_text(readings: dict[str, int], answer: str) -> str:
    """A response in the task's form: the readings, then the answer."""
    return f"<think>{rationale_text(readings)}</think><answer>{answer}</answer>"


def rationale_text(readings: dict[str, int]) -> str:
    """The readings as a rationale, such as `red3 blue5`."""
    return " ".join(f"{colour}{height}" for colour, height in readings.items())


def _misread(height: int, rng: random.Random) -> int:
    near = [h for h in range(height - 2, height + 3) if h != height and 1 <= h <= MAX_HEIGHT]
    return rng.choice(near)


def _miscompute(result: int, rng: random.Random) -> int:
    near = [r for r in range(result - 3, result + 4) if r != result and r >= 0]
    return rng.choice(near)
