"""Responses and gold answers for the verifier, each determined by a seed and a position.

Every case is one of six kinds: `plausible` (a value in some decoration), `soup` (pieces of valid
answers spliced together), `hostile` (texts that break parsers), `amplified` (one verdict that asks
for many costly comparisons), `tags` (the tags themselves in disorder), and `truncated` (a plausible
response cut anywhere).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .hostile import HOSTILE, explosion, injection, odd_characters, polynomial, repetition
from .values import VALUES, decorated, latex, letter, value

KINDS = {"plausible": 45, "soup": 25, "hostile": 14, "amplified": 1, "tags": 8, "truncated": 7}
"""Kind to its share of the cases, in percent."""

SOURCES = [
    "",
    "chartqa",
    "geometry3k",
    "virl39k",
    "mathvista",
    "mathverse",
    "mathvision",
    "mmmu",
    "no such source",
]
TAGS = ["<think>", "</think>", "<answer>", "</answer>"]


@dataclass(frozen=True)
class Case:
    """A response and the row it belongs to.

    rationale: text of a rationale that holds no tag; None when the response has none of its own.
    rest: what follows the rationale; the whole response when there is none.
    """

    kind: str
    rationale: str | None
    rest: str
    gold: str
    data_source: str
    choices: tuple[str, ...] | None

    def response(self, rationale: str | None = None) -> str:
        """The response, with another rationale's text in place of its own where one is given."""
        if self.rationale is None:
            return self.rest
        return f"<think>{self.rationale if rationale is None else rationale}</think>{self.rest}"


def case_at(seed: int, position: int) -> Case:
    rng = Random(f"{seed}:{position}")
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    base = value(rng)
    choices = tuple(value(rng) for _ in range(rng.randint(2, 5))) if rng.random() < 0.3 else None
    if kind == "amplified":
        return _amplified(rng)
    rationale, rest = _response(rng, kind, base)
    gold = _gold(rng, base, choices)
    return Case(kind, rationale, rest, gold, rng.choice(SOURCES), choices)


def _amplified(rng: Random) -> Case:
    """Costly answers held against every option, every item of a list, or every other answer."""
    count = rng.choice([4, 10, 16])
    costly = [rng.choice([explosion, polynomial, latex])(rng) for _ in range(count)]
    answer, gold, choices, others = rng.choice(costly), rng.choice("ABC"), None, ""
    form = rng.choice(["options", "list", "answers"])
    if form == "options":
        choices = tuple(costly)
    elif form == "list":
        answer, gold = ", ".join(costly), ", ".join(rng.sample(costly, count))
    else:
        gold = rng.choice(costly)
        others = "".join(f"<answer>{gold}{' ' * n}</answer>" for n in range(rng.choice([9, 2000])))
    rest = f"{others}<answer>{answer}</answer>"
    return Case("amplified", "x", rest, gold, rng.choice(SOURCES), choices)


def _response(rng: Random, kind: str, base: str) -> tuple[str | None, str]:
    if kind == "tags":
        return None, _tags(rng, base)
    rationale = rng.choice(["x", "", "so 1+1 = 2, hence", odd_characters(rng), injection(rng)])
    answer = {"soup": _soup, "hostile": _hostile}.get(kind, decorated)(rng, base)
    rest = f"<answer>{answer}</answer>"
    if kind == "truncated":
        response = f"<think>{rationale}</think>{rest}"
        return None, response[: rng.randrange(len(response) + 1)]
    return rationale, rest


def _soup(rng: Random, base: str) -> str:
    """Slices of valid answers, cut without regard to what they mean."""
    pieces = []
    for text in [base, *(value(rng) for _ in range(rng.randint(1, 6)))]:
        text = decorated(rng, text)
        start = rng.randrange(len(text))
        pieces.append(text[start : rng.randint(start, len(text))])
    rng.shuffle(pieces)
    return "".join(pieces)


def _hostile(rng: Random, base: str) -> str:
    text = rng.choice(HOSTILE)(rng)
    return rng.choice([text, text, f"{base}{text}", f"{text} {base}", f"{text}={base}"])


def _tags(rng: Random, base: str) -> str:
    pieces = [*TAGS, *TAGS, base, " ", rng.choice(HOSTILE)(rng)]
    if rng.random() < 0.2:
        unit = "".join(rng.choices([*TAGS, base], k=rng.randint(1, 3)))
        return f"<think>x</think>{unit * rng.choice([50, 2000, 20_000])}"
    return "".join(rng.choices(pieces, k=rng.randint(1, 14)))


def _gold(rng: Random, base: str, choices: tuple[str, ...] | None) -> str:
    forms = [base, base, decorated(rng, base), value(rng), rng.choice(VALUES)(rng)]
    if choices:
        forms += [rng.choice(choices), letter(rng)]
    if rng.random() < 0.03:
        forms = [rng.choice([_hostile, _soup])(rng, base), repetition(rng)]
    return rng.choice(forms)
