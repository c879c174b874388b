"""The verifier is right where math-verify is known to be wrong."""

from importlib.metadata import version

import pytest

from care_verl.verifier import verify

from .known_mistakes import WRONG_AS_WRITTEN, WRONG_IN_A_BOX
from .math_verify_reading import math_verify_says
from .own_cases import RELEASE

ALL = WRONG_IN_A_BOX + WRONG_AS_WRITTEN


@pytest.mark.parametrize(("answer", "gold", "expected"), ALL)
def test_right_where_math_verify_is_not(answer: str, gold: str, expected: bool) -> None:
    assert (verify(f"<think>x</think><answer>{answer}</answer>", gold).acc == 1) == expected


@pytest.mark.skipif(version("math-verify") != RELEASE, reason=f"of math-verify {RELEASE}")
def test_the_mistakes_are_math_verifys() -> None:
    as_written = [case for case in ALL if math_verify_says(case[1], case[0]) == case[2]]
    in_a_box = [
        (answer, gold, expected)
        for answer, gold, expected in ALL
        if math_verify_says(rf"\boxed{{{gold}}}", rf"\boxed{{{answer}}}") == expected
    ]
    print(
        f"of {len(ALL)}: math-verify {len(as_written)} as written, {len(in_a_box)} in a box right"
    )
    assert not set(as_written) & set(WRONG_AS_WRITTEN)
    assert not set(in_a_box) & set(WRONG_IN_A_BOX)
