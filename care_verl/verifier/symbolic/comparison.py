"""One comparison by math-verify, with its own time limit off. Runs in a worker process only."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
from sympy import Basic, MatrixBase

from care_verl.verifier.symbolic.request import Comparison, Form

_LATEX = LatexExtractionConfig(boxed_match_priority=0)
# Units were taken off before; what looks like one here is a variable.
_MATH = replace(_LATEX, normalization_config=replace(_LATEX.normalization_config, units=False))
_LONGEST_READING = 200


def compared(answer: Form, gold: Form) -> Comparison:
    """math-verify's judgement on two forms."""
    parsed_answer, parsed_gold = _parsed(answer), _parsed(gold)
    same = bool(verify(list(parsed_gold), list(parsed_answer), timeout_seconds=None))
    return Comparison(
        same=same,
        answer_read=_reading(parsed_answer),
        gold_read=_reading(parsed_gold),
        gold_readable=any(isinstance(item, Basic | MatrixBase) for item in parsed_gold),
    )


@lru_cache(maxsize=256)
def _parsed(form: Form) -> tuple[Any, ...]:
    if form.kind == "math":
        return tuple(parse(f"${form.text}$", [_MATH], parsing_timeout=None))
    return tuple(parse(form.text, [_LATEX, ExprExtractionConfig()], parsing_timeout=None))


def _reading(parsed: tuple[Any, ...]) -> str:
    """What was understood, in sympy's words; empty where it cannot put it in words either."""
    try:
        return str(parsed[0])[:_LONGEST_READING] if parsed else ""
    except Exception:
        # Sorting the factors of a product for print compares them, which NaN refuses.
        return ""
