"""Whether an answer says the same as the gold answer."""

from decimal import Decimal

# Longer digit strings are no answers to anything; they are compared as text instead of being turned
# into numbers.
_MAX_NUMBER_LENGTH = 64


def as_number(text: str) -> Decimal | None:
    """The exact value of an integer or decimal such as `-3`, `+07` or `2.50`; else None."""
    text = text.strip()
    if not text or len(text) > _MAX_NUMBER_LENGTH or not text.isascii():
        return None
    whole, _, fraction = text.removeprefix(text[0] if text[0] in "+-" else "").partition(".")
    return Decimal(text) if (whole + fraction).isdigit() else None


def as_text(text: str) -> str:
    """The text without white space and without differences of case."""
    return "".join(text.split()).casefold()


def rule_for(gold: str) -> str:
    """`number` where the gold answer is a number, else `text`."""
    return "text" if as_number(gold) is None else "number"


def same(answer: str, gold: str) -> bool:
    """Exact equality under the gold answer's rule; an empty answer equals nothing."""
    if rule_for(gold) == "number":
        return as_number(answer) == as_number(gold)
    return bool(as_text(answer)) and as_text(answer) == as_text(gold)
