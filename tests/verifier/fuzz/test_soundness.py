"""What is only a part of the gold answer, or more than it, is not the gold answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from care_verl.verifier import verify

PRIMES = [2, 3, 5, 7, 11, 13, 17, 19, 23]
FORMS = ["{}", "-{}", r"\sqrt{{{}}}", r"\frac{{{}}}{{29}}", r"{}\pi", r"{}\sqrt{{31}}", "{} x"]
"""Over distinct primes no two of these are equal."""

ITEMS = st.lists(
    st.tuples(st.sampled_from(FORMS), st.sampled_from(PRIMES)),
    min_size=2,
    max_size=4,
    unique_by=lambda item: item[1],
).map(lambda items: [form.format(prime) for form, prime in items])
BRACKETS = st.sampled_from(["{}", "({})", r"\{{{}\}}", "[{}]", "${}$", r"\boxed{{{}}}"])
SEPARATORS = st.sampled_from([", ", ",", " and ", "; ", r" \text{ and } "])


def right(answer: str, gold: str) -> bool:
    return verify(f"<think>x</think><answer>{answer}</answer>", gold).acc == 1


@given(ITEMS, BRACKETS, SEPARATORS, st.data())
def test_an_item_is_not_the_list(
    items: list[str], brackets: str, separator: str, data: st.DataObject
) -> None:
    listing = brackets.format(separator.join(items))
    item = data.draw(st.sampled_from(items))
    assert right(listing, listing)
    assert not right(item, listing), "a part taken for the gold answer"
    assert not right(listing, item), "a list taken for one of its items"


@given(ITEMS, BRACKETS, SEPARATORS, st.data())
def test_another_list_is_not_the_list(
    items: list[str], brackets: str, separator: str, data: st.DataObject
) -> None:
    changed = list(items)
    changed[data.draw(st.integers(0, len(items) - 1))] = "37"
    listing, other = (brackets.format(separator.join(each)) for each in (items, changed))
    assert not right(other, listing)
    assert not right(listing, other)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("0", r"\begin{pmatrix}16 & 138 \\ 2 & 0\end{pmatrix}"),
        ("16", r"\begin{pmatrix}16 & 138 \\ 2 & 0\end{pmatrix}"),
        (
            r"\begin{pmatrix}16 & 138 \\ 2 & 1\end{pmatrix}",
            r"\begin{pmatrix}16 & 138 \\ 2 & 0\end{pmatrix}",
        ),
        ("-7", r"7\pm\sqrt{175}"),
        ("7", r"7\pm\sqrt{175}"),
        ("7", r"\sum_{k=1}^{3} k and 7"),
        ("5", "x > 5"),
        ("5", r"x \ne 5"),
        ("1", "2x+1"),
        ("2", "2x"),
        ("3", "x^3"),
        ("8", r"\log_2 8"),
        ("4", r"\frac{3}{4}"),
        ("31", r"2\sqrt{31}"),
        ("12", "3:12"),
        ("30", "12:30"),
        ("5", "3 to 5"),
        ("5", "3-5"),
    ],
)
def test_a_part_is_not_the_whole(answer: str, gold: str) -> None:
    assert right(gold, gold)
    assert not right(answer, gold)
    assert not right(gold, answer)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("7", "red 7 blue 8"),
        ("8", "red 7 blue 8"),
        ("3", "point A3"),
        ("2", "Figure 2 and Figure 3"),
        ("5", "between 3 and 5"),
        ("3", "between 3 and 5"),
    ],
)
def test_a_number_is_not_the_words_around_it(answer: str, gold: str) -> None:
    """Of a gold answer; an answer in a sentence of its own is another matter."""
    assert right(gold, gold)
    assert not right(answer, gold)
