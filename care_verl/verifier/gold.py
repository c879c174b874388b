"""Gold answers: several spellings in one, and those that no answer could ever match."""

import ast
from collections.abc import Sequence

from care_verl.verifier.cleaning import LONGEST_ANSWER, cleaned
from care_verl.verifier.expressions import read_expression
from care_verl.verifier.options import bare_letter, gold_letter, option_texts
from care_verl.verifier.rules import by_value, decide
from care_verl.verifier.sequences import read_list


def gold_answers(ground_truth: object) -> list[str]:
    """The answers that count as right: one, or the elements of a list.

    A list may also be written out as a string with quoted elements, `['1/2', '0.5']`, as in MMMU.
    """
    if isinstance(ground_truth, str):
        written = ground_truth.strip()
        if written.startswith(("['", '["')):
            return _written_list(written) or [written]
        return [written]
    if isinstance(ground_truth, Sequence):
        return [str(answer).strip() for answer in ground_truth]
    return [str(ground_truth).strip()]


def gold_problem(
    ground_truth: object, data_source: str = "", choices: Sequence[str] | None = None
) -> str | None:
    """Why a row with this gold answer cannot be trained on; None when it can.

    The gold answer has to be read, and to score 1.0 against itself. An answer that only equals its
    own spelling would make every right answer in another spelling a failure.
    """
    answers = gold_answers(ground_truth)
    problems = [_problem(answer, data_source, choices) for answer in answers]
    return next((problem for problem in problems if problem), None) if answers else "empty"


def _problem(gold: str, data_source: str, choices: Sequence[str] | None) -> str | None:
    if not gold or not cleaned(gold[:LONGEST_ANSWER]):
        return "empty"
    if len(gold) > LONGEST_ANSWER:
        return "too long"
    if not _balanced(gold):
        return "unbalanced braces"
    options = option_texts(choices)
    if options and bare_letter(gold) and gold_letter(gold, options, lambda a, b: a == b) is None:
        return "letter without an option"
    listing = read_list(cleaned(gold))
    for item in (gold,) if listing is None else listing.items:
        if by_value(item, item).rule == "latex":
            comparison = read_expression(item)
            if not comparison.decided:
                return "too costly to compare"
            if not comparison.gold_readable:
                return "unreadable LaTeX"
    return None if decide(gold, gold, data_source, choices).same else "differs from itself"


def _balanced(text: str) -> bool:
    """Whether each brace that is opened is closed; escaped ones count among themselves."""
    depth = escaped_depth = 0
    escaped = False
    for character in text:
        step = {"{": 1, "}": -1}.get(character, 0)
        if escaped:
            escaped_depth += step
        else:
            depth += step
        if depth < 0:
            return False
        escaped = character == "\\" and not escaped
    return depth == 0 and escaped_depth == 0


def _written_list(text: str) -> list[str]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return [str(item).strip() for item in value] if isinstance(value, list) else []
