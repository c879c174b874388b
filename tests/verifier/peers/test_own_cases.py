"""On math-verify's own test cases the verifier does at least as well as math-verify itself."""

import pytest

from care_verl.verifier import verify

from .math_verify_reading import math_verify_says
from .own_cases import OwnCase, OwnCases, collect, source_distribution

DEPARTURES: dict[tuple[str, str], str] = {
    (r"$1 - \frac{1}{\mathrm{e}}$", r"$1 + \frac{1}{\mathrm{e}}$"): "two different numbers",
    ("$9$", "Answer $ \n 9 \n $"): "white space around an expression changes nothing",
    ("$9$", "Answer \\( \n 9 \n \\)"): "white space around an expression changes nothing",
    (
        r"\boxed{1} no no no no no \boxed{2}",
        r"$\boxed{1,2}$",
    ): "several boxes are a list, as in others of its cases",
    (
        r"\\boxed{W(n) = 1 \\text{ and } W(n) = -1",
        "W(x)=1orW(x)=-1",
    ): "a gold answer with unbalanced braces is dropped, never scored",
}
"""Cases whose expectation contradicts a rule of the verifier: (gold, prediction) to the rule."""


@pytest.fixture(scope="session")
def own(request: pytest.FixtureRequest) -> OwnCases:
    return collect(source_distribution(request.config.cache.mkdir("math-verify")))


def ours(case: OwnCase) -> bool:
    return verify(f"<think>x</think><answer>{case.prediction}</answer>", case.gold).acc == 1


def math_verify_on(case: OwnCase) -> bool:
    return math_verify_says(case.gold, case.prediction, case.match_types)


def test_no_case_is_lost(own: OwnCases) -> None:
    assert len(own.cases) == 267
    assert len(own.not_applicable) == 18


def test_at_least_as_many_right_as_math_verify(own: OwnCases) -> None:
    judged = [case for case in own.cases if (case.gold, case.prediction) not in DEPARTURES]
    theirs = [case for case in judged if math_verify_on(case) != case.expected]
    mistaken = [case for case in judged if ours(case) != case.expected]
    numbers = f"wrong of {len(judged)}: math-verify {len(theirs)}, care-verl {len(mistaken)}"
    print(numbers)
    assert len(mistaken) <= len(theirs), "\n".join([numbers, *report(mistaken, own)])


def test_departures_are_departures(own: OwnCases) -> None:
    """A case that is read as the peer expects is none, nor is one that no longer exists."""
    wrong = {(case.gold, case.prediction) for case in own.cases if ours(case) != case.expected}
    assert DEPARTURES.keys() <= wrong


def report(mistaken: list[OwnCase], own: OwnCases) -> list[str]:
    departed = [case for case in own.cases if (case.gold, case.prediction) in DEPARTURES]
    return [
        "wrong here:",
        *(f"  {line(case)}" for case in mistaken),
        "departures on purpose:",
        *(f"  {line(case)}: {DEPARTURES[case.gold, case.prediction]}" for case in departed),
        "not applicable:",
        *(f"  {name}: {reason}" for name, reason in own.not_applicable.items()),
    ]


def line(case: OwnCase) -> str:
    return f"{case.name} {case.gold[-60:]!r} {case.prediction[-60:]!r} expected {case.expected}"
