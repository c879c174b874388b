"""Whether two readings say the same: same, different, or cannot say, and why."""

from __future__ import annotations

from fractions import Fraction

from care_verl.tools.court.agreement import close, compare_quantities
from care_verl.tools.court.arithmetic import Values, is_defined
from care_verl.tools.court.opinion import EXACT, Opinion
from care_verl.tools.court.quantity import Quantity
from care_verl.tools.court.reading import Collection, Reading, Relation, read

_PAIRED = {"()", "[]"}
_HALF_OPEN = {"(]", "[)"}
_FLIPPED = {">": "<", "≥": "≤"}


def compare_readings(answer: Reading, gold: Reading, tolerance: float = EXACT) -> Opinion:
    """What `answer` says, against what `gold` says.

    tolerance: relative to the gold; larger than EXACT only for numbers in charts.
    """
    if "none" in (answer.kind, gold.kind):
        return Opinion("different", "one of them is empty")
    worded = {answer.kind, gold.kind} & {"text", "unreadable"}
    if worded and answer.text == gold.text:
        return Opinion("same", "the same wording")
    if "unreadable" in (answer.kind, gold.kind):
        unreadable = gold if gold.kind == "unreadable" else answer
        return Opinion("cannot_say", f"cannot read it: {unreadable.reason}")
    if isinstance(answer.value, Relation) != isinstance(gold.value, Relation):
        sides = [_right_side(reading) for reading in (answer, gold)]
        if None in sides:
            return Opinion("cannot_say", "a relation against none")
        answer, gold = (side for side in sides if side is not None)
        return compare_readings(answer, gold, tolerance)
    left, right = answer.value, gold.value
    if isinstance(left, Relation) and isinstance(right, Relation):
        return _relations(left, right, tolerance)
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return compare_quantities(left, right, tolerance)
    if isinstance(left, Collection) and isinstance(right, Collection):
        return _collections(left, right, tolerance)
    if answer.kind == gold.kind == "text":
        return _texts(answer.text, gold.text)
    return _unlike(answer, gold)


def _right_side(reading: Reading) -> Reading | None:
    """5 of x = 5; None for a relation that names nothing."""
    if not isinstance(reading.value, Relation):
        return reading
    return reading.value.sides[1] if reading.value.name is not None else None


def _collections(answer: Collection, gold: Collection, tolerance: float) -> Opinion:
    loose = {answer.brackets, gold.brackets}
    in_order = _elements(answer, gold, tolerance)
    if in_order.judgement == "cannot_say" and len(answer.items) == len(gold.items):
        return in_order
    if answer.brackets == gold.brackets == ":" and in_order.judgement == "different":
        return _ratios(answer, gold)
    if answer.brackets == gold.brackets and gold.brackets not in ("", "setset", "∪"):
        return in_order
    any_order = _elements_in_any_order(answer, gold, tolerance)
    if answer.brackets == gold.brackets or loose == {"", "setset"}:
        return any_order
    if any_order.judgement == "different":
        return any_order
    if "" in loose and loose <= {"", *_PAIRED} and in_order.judgement == "same":
        return in_order
    if in_order.judgement == "same" and loose & _HALF_OPEN and loose <= _HALF_OPEN | _PAIRED:
        return Opinion("different", "different ends of an interval")
    return Opinion("cannot_say", "the same elements in other brackets or another order")


def _ratios(answer: Collection, gold: Collection) -> Opinion:
    """2:3 and 4:6 are the same ratio, but not the same time, score or scale."""
    numbers = [_literals(side) for side in (answer, gold)]
    if len(numbers[0]) == len(numbers[1]) == len(gold.items) == 2:
        (a, b), (c, d) = numbers
        if a * d == b * c:
            return Opinion("cannot_say", "proportional ratios")
    return Opinion("different", "different ratios")


def _literals(collection: Collection) -> list[Fraction]:
    quantities = [item.value for item in collection.items if isinstance(item.value, Quantity)]
    return [Fraction(q.literal) for q in quantities if q.literal is not None]


def _elements(answer: Collection, gold: Collection, tolerance: float) -> Opinion:
    if len(answer.items) != len(gold.items):
        return Opinion("different", "different numbers of elements")
    pairs = zip(answer.items, gold.items, strict=True)
    opinions = [compare_readings(a, g, tolerance) for a, g in pairs]
    for judgement in ("different", "cannot_say"):
        for opinion in opinions:
            if opinion.judgement == judgement:
                return Opinion(opinion.judgement, f"an element: {opinion.reason}")
    return Opinion("same", "the same elements")


def _elements_in_any_order(answer: Collection, gold: Collection, tolerance: float) -> Opinion:
    """Each gold element takes the first answer that equals it."""
    if len(answer.items) != len(gold.items):
        return Opinion("different", "different numbers of elements")
    left, doubt = list(answer.items), False
    for wanted in gold.items:
        opinions = [compare_readings(item, wanted, tolerance).judgement for item in left]
        if "same" in opinions:
            left.pop(opinions.index("same"))
        elif "cannot_say" in opinions:
            doubt = True
        else:
            return Opinion("different", "an element that the other side lacks")
    if doubt:
        return Opinion("cannot_say", "an element that cannot be compared")
    return Opinion("same", "the same elements")


def _relations(answer: Relation, gold: Relation, tolerance: float) -> Opinion:
    if answer.name is not None and gold.name is not None and answer.signs == gold.signs:
        opinion = compare_readings(answer.sides[1], gold.sides[1], tolerance)
        if opinion.judgement == "same" and answer.name != gold.name:
            return Opinion("cannot_say", "the same value under another name")
        return opinion
    left, right = _ordered(answer), _ordered(gold)
    if left.signs != right.signs:
        return Opinion("cannot_say", "different relations")
    sides = [compare_readings(a, g).judgement for a, g in zip(left.sides, right.sides, strict=True)]
    if all(judgement == "same" for judgement in sides):
        return Opinion("same", "the same sides")
    return _proportional(left, right)


def _ordered(relation: Relation) -> Relation:
    """With > and ≥ turned round."""
    if not set(relation.signs) <= set(_FLIPPED):
        return relation
    signs = tuple(_FLIPPED[sign] for sign in reversed(relation.signs))
    return Relation(signs, relation.sides[::-1], None)


def _proportional(answer: Relation, gold: Relation) -> Opinion:
    """Left minus right, up to a factor that is the same at all points, positive under < and ≤."""
    differences = [_difference(answer), _difference(gold)]
    if len(gold.signs) != 1 or None in differences:
        return Opinion("cannot_say", "relations of another form")
    pairs = zip(*(values for values in differences if values is not None), strict=True)
    ratios = [a / g for a, g in pairs if is_defined(a) and is_defined(g) and g]
    if len(ratios) > 1 and all(close(ratio, ratios[0], EXACT) for ratio in ratios):
        factor = ratios[0]
        if factor and (gold.signs[0] in "=≠" or (factor.real > 0 and abs(factor.imag) < EXACT)):
            return Opinion("same", "the same relation up to a factor")
    return Opinion("cannot_say", "relations of another form")


def _difference(relation: Relation) -> Values | None:
    values = [side.value for side in relation.sides]
    if len(values) != 2:
        return None
    left, right = values
    if not (isinstance(left, Quantity) and isinstance(right, Quantity)):
        return None
    return tuple(a - b for a, b in zip(left.values, right.values, strict=True))


def _texts(answer: str, gold: str) -> Opinion:
    if sorted(answer) == sorted(gold) and len(gold) <= 3:
        return Opinion("cannot_say", "the same letters: a name or a product")
    words = [{word.removesuffix("s") for word in text.split()} for text in (answer, gold)]
    if words[0] <= words[1] or words[1] <= words[0]:
        return Opinion("cannot_say", "one wording contains the other, or its plural")
    return Opinion("different", "different wording")


def _unlike(answer: Reading, gold: Reading) -> Opinion:
    """A number is neither a word nor several numbers; between other kinds there is no telling."""
    number, other = (answer, gold) if answer.kind == "quantity" else (gold, answer)
    if isinstance(number.value, Quantity) and not number.value.names:
        if other.kind == "text":
            return Opinion("different", "a number against words")
        if isinstance(other.value, Collection) and _is_several(other.value, number):
            return Opinion("different", "one against several")
    return Opinion("cannot_say", f"a {answer.kind} against a {gold.kind}")


def _is_several(collection: Collection, number: Reading) -> bool:
    """Whether it cannot be one number: 0,5 may be 0.5, 3:4 may be 3/4, 10-3 may be 7."""
    if collection.brackets in (":", "-") or len(collection.items) < 2:
        return False
    texts = [item.text for item in collection.items]
    if len(texts) > 2 or not all(text.isdigit() for text in texts):
        return True
    decimal = read(".".join(texts))
    return compare_readings(decimal, number).judgement == "different"
