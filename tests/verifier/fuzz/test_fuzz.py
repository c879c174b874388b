"""A short run of the fuzzer, any text as gold and response, and that the fuzzer can find faults."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from care_verl.verifier import Verdict, verify

from .corpus import KINDS, SOURCES, Case, case_at
from .judging import HANG_S, judge, shown

COUNT = 1_500
SEED = 20_000
"""Not the script's default: a long run and the tests look at different cases."""

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Lone surrogates included, which `text()` leaves out."""


@pytest.fixture(scope="module", autouse=True)
def _started() -> None:
    """The first verdict starts the verifier's processes, which is no verdict's time."""
    verify(r"<think>x</think><answer>\sqrt{8}</answer>", r"2\sqrt{2}")


def test_a_case_is_determined_by_seed_and_position() -> None:
    first = [case_at(1, position) for position in range(100)]
    assert first == [case_at(1, position) for position in range(100)]
    assert first != [case_at(2, position) for position in range(100)]


def test_short_run() -> None:
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda at: judge(case_at(SEED, at)), range(COUNT)))
    broken = {at: outcome.problems for at, outcome in enumerate(outcomes) if outcome.problems}
    lines = [f"{shown(case_at(SEED, at), at)}\n    {broken[at]}" for at in broken]
    assert not broken, "\n".join(lines)
    assert {case_at(SEED, at).kind for at in range(COUNT)} == KINDS.keys()
    right = sum(outcome.acc for outcome in outcomes)
    assert COUNT * 0.05 < right < COUNT * 0.5
    assert len(Counter(outcome.rule for outcome in outcomes)) > 2


@settings(deadline=HANG_S * 1000)
@given(ANY_TEXT, ANY_TEXT, st.sampled_from(SOURCES), st.none() | st.lists(ANY_TEXT, max_size=5))
def test_any_text(answer: str, gold: str, source: str, choices: list[str] | None) -> None:
    options = None if choices is None else tuple(choices)
    case = Case("text", "x", f"<answer>{answer}</answer>", gold, source, options)
    # A tag inside the text may well make the rationale matter.
    if "<" not in answer:
        assert judge(case).problems == ()
    assert judge(replace(case, rationale=None, rest=answer)).problems == ()


PLAIN = Case("plausible", "x", "<answer>8</answer>", "8", "", None)


def faulty(change: Callable[[Verdict, str], Verdict]) -> Callable[..., Verdict]:
    return lambda response, *row: change(verify(response, *row), response)


def raising(*_: object) -> Verdict:
    raise RecursionError("too deep")


@pytest.mark.parametrize(
    ("verify_badly", "problem"),
    [
        (faulty(lambda verdict, _: replace(verdict, acc=0.5)), "acc 0.5"),
        (faulty(lambda verdict, _: replace(verdict, fmt=-1.0)), "fmt -1.0"),
        (faulty(lambda verdict, _: replace(verdict, answer=None)), "right without an answer"),
        (
            faulty(lambda verdict, response: replace(verdict, acc=float("other" not in response))),
            "the rationale's words changed the verdict",
        ),
        (raising, "RecursionError: too deep"),
    ],
)
def test_a_fault_is_found(verify_badly: Callable[..., Verdict], problem: str) -> None:
    assert judge(PLAIN).problems == ()
    assert problem in "\n".join(judge(PLAIN, verify_badly).problems)


def test_a_verdict_that_changes_is_found() -> None:
    calls = count()
    fickle = faulty(lambda verdict, _: replace(verdict, acc=float(next(calls) % 2)))
    assert "another verdict the second time" in judge(PLAIN, fickle).problems


def test_the_script_runs() -> None:
    script = Path(__file__).with_name("run.py")
    command = [sys.executable, str(script), "--count", "20", "--seed", "1", "--limit", str(HANG_S)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cases 20" in done.stdout
    assert "exceptions 0" in done.stdout
