"""Prefixes of reflections as token ids.

The ids are stand-ins; this does not prove that a tokenizer's pieces join into the wanted text.
"""

from __future__ import annotations

import pytest

from care_verl.algorithm import reflection_prefix
from care_verl.algorithm.config import RgrConfig
from care_verl.algorithm.reflection import ReflectionPrefix, ReflectionTokens

OPEN, CLOSE, ANSWER, CUE, BREAK = [1, 2], [3], [4, 5], [6, 7, 8], [9]
TOKENS = ReflectionTokens(OPEN, CLOSE, ANSWER, CUE, BREAK)
RATIONALE = [11, 12, 13, 14]


def prefix(
    budget: int = 100,
    prefilled: bool = False,
    special_ids: tuple[int, ...] = (),
    rationale: list[int] | None = None,
    **rgr: object,
) -> ReflectionPrefix:
    config = RgrConfig(**({"min_new_tokens": 10} | rgr))  # type: ignore[arg-type]
    copied = RATIONALE if rationale is None else rationale
    return reflection_prefix(copied, TOKENS, config, budget, special_ids, prefilled)


@pytest.mark.parametrize(
    ("rgr", "ids"),
    [
        ({}, [*OPEN, *RATIONALE, *BREAK, *CUE, *BREAK]),
        ({"mode": "no_cue"}, [*OPEN, *RATIONALE, *BREAK]),
        ({"mode": "random"}, []),
        ({"prefilled": True}, [*RATIONALE, *BREAK, *CUE, *BREAK]),
        (
            {"context": "answer"},
            [*OPEN, *RATIONALE, *BREAK, *CUE, *BREAK, *CLOSE, *BREAK, *ANSWER],
        ),
        (
            {"context": "answer", "mode": "no_cue"},
            [*OPEN, *RATIONALE, *BREAK, *CLOSE, *BREAK, *ANSWER],
        ),
        ({"rationale": []}, [*OPEN, *BREAK, *CUE, *BREAK]),
        ({"special_ids": (12, 99)}, [*OPEN, 11, 13, 14, *BREAK, *CUE, *BREAK]),
    ],
)
def test_layouts(rgr: dict[str, object], ids: list[int]) -> None:
    assert prefix(**rgr) == ReflectionPrefix(ids)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("budget", "kept", "cut"),
    [(21, RATIONALE, 0), (20, [12, 13, 14], 1), (18, [14], 3), (17, [], 4)],
)
def test_the_oldest_part_of_the_rationale_makes_room(
    budget: int, kept: list[int], cut: int
) -> None:
    """Fixed parts take 7 tokens and 10 stay free: 21 holds all four tokens of the rationale."""
    found = prefix(budget)
    assert found == ReflectionPrefix([*OPEN, *kept, *BREAK, *CUE, *BREAK], cut)


def test_no_reflection_has_a_reason() -> None:
    assert prefix(16) == ReflectionPrefix(None, reason="no_room")
    assert prefix(9, mode="random") == ReflectionPrefix(None, reason="no_room")
    assert prefix(mode="off") == ReflectionPrefix(None, reason="off")


def test_special_tokens_take_no_room() -> None:
    assert prefix(20, special_ids=(12,)).cut == 0
