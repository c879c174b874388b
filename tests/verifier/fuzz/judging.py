"""What must hold for every response, whatever it says."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from care_verl.verifier import Verdict, verify

from .corpus import Case

LIMIT_S = 3.0
"""Wall time within which any one verdict has to be there, on a machine with nothing else to do."""

HANG_S = 30.0
"""The same on a machine that may be busy."""

REPEAT_BELOW_S = 0.5
"""A verdict that took longer may rest on a time limit, which another call need not reach."""

OTHER_RATIONALE = "entirely other words, and the answer 41 \\boxed{42}"


@dataclass(frozen=True)
class Outcome:
    """How one case went: seconds of its slowest verdict, and what did not hold."""

    rule: str
    acc: float
    seconds: float
    verdicts: int
    problems: tuple[str, ...]


def judge(case: Case, verify: Callable[..., Verdict] = verify, limit_s: float = HANG_S) -> Outcome:
    """Verdicts on the case, on the case again and with another rationale, held against each other.

    A verdict that takes longer than `limit_s` is a problem. So is an exception, with its traceback.
    """
    row = (case.gold, case.data_source, None if case.choices is None else list(case.choices))
    responses = [case.response(), case.response(), case.response(OTHER_RATIONALE)]
    verdicts: list[Verdict] = []
    slowest = 0.0
    for response in responses:
        begin = time.perf_counter()
        try:
            verdicts.append(verify(response, *row))
        except Exception:
            return Outcome("exception", 0.0, slowest, len(verdicts), (traceback.format_exc(),))
        slowest = max(slowest, time.perf_counter() - begin)
        if slowest > REPEAT_BELOW_S:
            break
    first = verdicts[0]
    problems = tuple(_problems(case, verdicts, slowest, limit_s))
    return Outcome(first.rule, first.acc, slowest, len(verdicts), problems)


def _problems(case: Case, verdicts: list[Verdict], slowest: float, limit_s: float) -> list[str]:
    first = verdicts[0]
    response = case.response()
    answerless = "<answer>" not in response or "</answer>" not in response
    held = {
        f"{slowest:.1f} s, limit {limit_s:g} s": slowest <= limit_s,
        f"acc {first.acc!r}": first.acc in (0.0, 1.0),
        f"fmt {first.fmt!r}": first.fmt in (0.0, 1.0),
        "right without an answer": first.acc == 0 or first.answer is not None,
        "an answer where none was written": not answerless or first.answer is None,
        "well formed without an answer": first.fmt == 0 or first.answer is not None,
        "another verdict the second time": verdicts[0] == verdicts[min(1, len(verdicts) - 1)],
        "the rationale's words changed the verdict": verdicts[0] == verdicts[-1],
    }
    return [problem for problem, holds in held.items() if not holds]


def shown(case: Case, position: int) -> str:
    """The case in a few lines, long texts cut."""
    row = f"gold {case.gold[:120]!r} source {case.data_source!r} choices {str(case.choices)[:120]}"
    return f"[{position}] {case.kind} {row}\n    {case.response()[:400]!r}"
