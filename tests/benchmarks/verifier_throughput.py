"""Answers per second of the verifier and of bare math-verify, on the same answers.

    python tests/benchmarks/verifier_throughput.py --answers 400 --rounds 5

The two sides take turns, on new answers each round, so that what else the machine does hits both.
The verifier is asked from two threads and works in its own processes; math-verify parses and
compares in this process with its time limits off, which is its fastest and unprotected use. Both
keep caches; few answers come twice here, so that these show little.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from statistics import median

from math_verify import parse
from math_verify import verify as compare

from care_verl.verifier import verify

THREADS = 2
Pair = tuple[str, str]
"""Answer and gold, both without decoration."""


def integer(rng: Random) -> Pair:
    gold = rng.randint(-500, 5000)
    return str(gold + rng.choice([0, 0, 1, -10])), str(gold)


def decimal(rng: Random) -> Pair:
    gold = round(rng.uniform(0, 100), 2)
    return f"{gold + rng.choice([0, 0, 0.1, 3]):.3f}", str(gold)


def fraction(rng: Random) -> Pair:
    top, bottom = rng.randint(1, 200), rng.randint(2, 200)
    answer = rng.choice([rf"\frac{{{2 * top}}}{{{2 * bottom}}}", f"{top}/{bottom}", f"{bottom}"])
    return answer, rf"\frac{{{top}}}{{{bottom}}}"


def root(rng: Random) -> Pair:
    factor, radicand = rng.randint(2, 20), rng.randint(2, 500)
    gold = rf"{factor}\sqrt{{{radicand}}}"
    answers = [gold, rf"\sqrt{{{factor**2 * radicand}}}", rf"{factor + 1}\sqrt{{{radicand}}}"]
    return rng.choice(answers), gold


def polynomial(rng: Random) -> Pair:
    a, b = rng.randint(1, 60), rng.randint(1, 60)
    expanded = f"x^2+{a + b}x+{a * b}"
    return rng.choice([expanded, rf"(x+{a})(x+{b})", rf"(x-{a})(x+{b})"]), expanded


def point(rng: Random) -> Pair:
    x, y = rng.randint(-60, 60), rng.randint(-60, 60)
    return rng.choice([f"({x}, {y})", f"({y}, {x + 1})"]), rf"\left({x}, {y}\right)"


def multiple_of_pi(rng: Random) -> Pair:
    factor, divisor = rng.randint(1, 300), rng.randint(2, 30)
    return rf"\frac{{{factor}\pi}}{{{divisor}}}", rf"\frac{{{factor}}}{{{divisor}}}\pi"


def choice(rng: Random) -> Pair:
    return rng.choice(["{}", "({})", "{}."]).format(rng.choice("ABCD")), rng.choice("ABCD")


def text(rng: Random) -> Pair:
    words = ["red", "light blue", "Yes", "No", "United States", "isosceles triangle"]
    return rng.choice(words), rng.choice(words)


LATEX = [fraction, root, polynomial, point, multiple_of_pi]
MIXTURES = {
    "mixed": [integer, integer, decimal, choice, choice, text, fraction, root, multiple_of_pi],
    "LaTeX": LATEX,
}


def ours(pair: Pair) -> bool:
    answer, gold = pair
    return verify(rf"<think>x</think><answer>{answer}</answer>", gold).acc == 1


def bare(pair: Pair) -> bool:
    """A box around both, without which math-verify reads neither letters nor bare LaTeX."""
    answer, gold = (parse(rf"\boxed{{{text}}}", parsing_timeout=None) for text in pair)
    return compare(gold, answer, timeout_seconds=None)


def all_ours(pairs: list[Pair]) -> list[bool]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(ours, pairs))


def all_bare(pairs: list[Pair]) -> list[bool]:
    return [bare(pair) for pair in pairs]


def rate(side: Callable[[list[Pair]], list[bool]], pairs: list[Pair]) -> float:
    """Answers per second."""
    begin = time.perf_counter()
    side(pairs)
    return len(pairs) / (time.perf_counter() - begin)


def measure(name: str, answers: int, rounds: int, rng: Random) -> str:
    kinds = MIXTURES[name]
    rates: list[tuple[float, float]] = []
    for position in range(rounds + 1):
        pairs = [rng.choice(kinds)(rng) for _ in range(answers)]
        sides = rate(all_ours, pairs), rate(all_bare, pairs)
        # The first round pays for imports and for starting processes.
        if position:
            rates.append(sides)
    ratios = [mine / theirs for mine, theirs in rates]
    mine, theirs = (median(side) for side in zip(*rates, strict=True))
    return (
        f"{name}: care-verl {mine:.0f}/s, math-verify {theirs:.0f}/s, "
        f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=400, help="of each side and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    rng = Random(arguments.seed)
    for name in MIXTURES:
        print(measure(name, arguments.answers, arguments.rounds, rng))


if __name__ == "__main__":
    main()
