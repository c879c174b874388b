"""Which rule compares an answer with a gold answer, and what it says.

The rule follows from the row's source and from the gold answer's own form:

- `choice`: the gold answer is an option's letter, or the text of one of the row's options.
- `chartqa`: ChartQA's relaxed rule, for that source alone: numbers within 5 % of the gold answer.
- `number`, `list`, `text`, `latex`: by the form of the gold answer.
- `undecided`: an expression that could not be compared within its limits of time and memory.
- `unreadable gold`: the gold answer is an expression that nothing but its own spelling equals.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from care_verl.verifier.boxes import focused
from care_verl.verifier.cleaning import LONGEST_ANSWER, cleaned
from care_verl.verifier.expressions import same_expression
from care_verl.verifier.options import (
    bare_letter,
    gold_letter,
    option_texts,
    picked_letter,
    several_letters,
)
from care_verl.verifier.quantities import Quantity, read_quantity, same_quantity
from care_verl.verifier.sequences import Listing, read_list, same_list
from care_verl.verifier.texts import is_text, same_text

UNDECIDED = "undecided"
UNREADABLE_GOLD = "unreadable gold"
CHARTQA_TOLERANCE = Fraction(1, 20)
_ASSIGNMENT = re.compile(
    r"((?:m\s*)?\\?[A-Za-z][A-Za-z\s\\∠△{}()']{0,40}(?:_\{?\w{1,4}\}?)?)\s*(?:=|\\approx(?![A-Za-z]))\s*([^=<>]+)"
)

_SPACE = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
# A score or a range such as 18-29: no difference to be computed.
_RANGE = re.compile(r"\d+(?:\.\d+)?\s*-\s*\d+(?:\.\d+)?%?")
_SENTENCE = re.compile(r"([^\W\d_][^\d\\$=]{0,80}?\b(?:is|are|was|equals|equal to)\b:?)\s+(\S.*)")


@dataclass(frozen=True)
class Decision:
    """What a rule says.

    same: the answer equals the gold answer.
    rule: name of the rule, see above.
    answer_read, gold_read: how both were understood; empty where they were not.
    """

    same: bool
    rule: str
    answer_read: str = ""
    gold_read: str = ""


def decide(
    answer: str, gold: str, data_source: str = "", choices: Sequence[str] | None = None
) -> Decision:
    """Compare `answer` with `gold` under the rule that fits. Neither is blank."""
    decision = _decision(focused(answer), focused(gold), data_source, choices)
    return replace(decision, same=True) if answer == gold else decision


def _decision(answer: str, gold: str, data_source: str, choices: Sequence[str] | None) -> Decision:
    if max(len(answer), len(gold)) > LONGEST_ANSWER:
        return _by_length(answer, gold)
    chosen = _by_choice(answer, gold, option_texts(choices))
    if chosen is not None:
        return chosen
    if "chartqa" in data_source.casefold():
        return _by_chartqa(answer, gold)
    return by_value(answer, gold)


def by_value(answer: str, gold: str) -> Decision:
    """Compare by the form of the gold answer: number, list, text or expression."""
    if max(len(answer), len(gold)) > LONGEST_ANSWER:
        return _by_length(answer, gold)
    plain_answer, plain_gold = cleaned(answer), cleaned(gold)
    quantity = read_quantity(_value(plain_gold))
    if quantity is not None:
        return _by_number(plain_answer, plain_gold, quantity) or _by_list_or_expression(
            answer, gold, "number"
        )
    listing = read_list(_value(plain_gold))
    if listing is not None:
        return _by_list_or_expression(answer, gold, "list")
    if is_text(_value(plain_gold)) or _RANGE.fullmatch(plain_gold):
        same = same_text(_value(plain_answer), _value(plain_gold))
        return Decision(same, "text", plain_answer, plain_gold)
    return _by_list_or_expression(answer, gold, "latex")


def _by_choice(answer: str, gold: str, options: list[str]) -> Decision | None:
    """The rule for options; None where the gold answer is none."""
    several = several_letters(gold)
    if several is not None and bare_letter(gold) is None:
        picked = several_letters(answer)
        if picked is None:
            return None
        return Decision(picked == several, "choice", *map(_spelled, (picked, several)))
    letter = gold_letter(gold, options, _same_value)
    if letter is None:
        return None
    one = picked_letter(answer, options, _same_value)
    return Decision(one == letter, "choice", one or "", letter)


def _by_chartqa(answer: str, gold: str) -> Decision:
    decision = by_value(answer, gold)
    if decision.same or decision.rule not in ("number", "list", "latex"):
        return Decision(decision.same, "chartqa", decision.answer_read, decision.gold_read)
    found, wanted = read_quantity(cleaned(answer)), read_quantity(cleaned(gold))
    close = found is not None and wanted is not None and _close(found, wanted)
    return Decision(close, "chartqa", decision.answer_read, decision.gold_read)


def _close(answer: Quantity, gold: Quantity) -> bool:
    """Within 5 % of the gold answer, where the units do not contradict."""
    if not (answer.unit.bare or gold.unit.bare or answer.unit.dimension == gold.unit.dimension):
        return False
    return abs(answer.value - gold.value) <= CHARTQA_TOLERANCE * abs(gold.value)


def _by_number(answer: str, gold: str, wanted: Quantity) -> Decision | None:
    """None where the answer is no plain number."""
    found = read_quantity(_value(answer))
    if found is None:
        return None
    same = same_quantity(found, wanted) and _same_names(answer, gold)
    return Decision(same, "number", str(found), str(wanted))


def _by_list_or_expression(answer: str, gold: str, rule: str) -> Decision:
    plain_answer, plain_gold = cleaned(answer), cleaned(gold)
    if _squeezed(plain_answer) == _squeezed(plain_gold) != "":
        return Decision(True, rule, plain_answer, plain_gold)
    found, wanted = read_list(_value(plain_answer)), read_list(_value(plain_gold))
    if found is not None and wanted is not None:
        same = same_list(found, wanted, _same_value)
        if same or (_is_plain(found) and _is_plain(wanted)):
            return Decision(same, "list", str(found), str(wanted))
    return _by_expression(answer, gold, rule)


def _by_length(answer: str, gold: str) -> Decision:
    """Of an answer too long to be one, what math-verify finds in it; of a gold answer, nothing."""
    if answer.split() == gold.split():
        return Decision(True, "text", answer, gold)
    if len(gold) > LONGEST_ANSWER or is_text(cleaned(gold)):
        return Decision(False, "text")
    return _by_expression(answer, gold, "latex")


def _by_expression(answer: str, gold: str, rule: str) -> Decision:
    comparison = same_expression(answer, gold)
    if not comparison.decided:
        rule = UNDECIDED
    elif rule == "latex" and not (comparison.same or comparison.gold_readable):
        rule = UNREADABLE_GOLD
    return Decision(comparison.same, rule, comparison.answer_read, comparison.gold_read)


def _same_value(answer: str, gold: str) -> bool:
    return bool(answer.strip() and gold.strip()) and by_value(answer, gold).same


def _is_plain(listing: Listing) -> bool:
    """Whether nothing in the list needs more than our own reading."""
    return all(read_quantity(_value(item)) or is_text(item) for item in listing.items)


def _value(text: str) -> str:
    """What `x = 5` and `the length is 5` say of their subject; any other text as it is."""
    match = _ASSIGNMENT.fullmatch(text) or _SENTENCE.fullmatch(text)
    return match[2].strip() if match else text


def _same_names(answer: str, gold: str) -> bool:
    """`x = 1` is not `y = 1`; a side without a name takes the other's."""
    names = [_ASSIGNMENT.fullmatch(text) for text in (answer, gold)]
    if any(name is None for name in names):
        return True
    # W(n) = 1 and W(x) = 1 name the same function.
    first, second = ("".join(name[1].partition("(")[0].split()) for name in names if name)
    return first == second


def _squeezed(text: str) -> str:
    """Without white space, except between two digits, where it makes the difference."""
    return _SPACE.sub("", text)


def _spelled(letters: frozenset[str]) -> str:
    return "".join(sorted(letters))
