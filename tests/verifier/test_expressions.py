"""Expressions with units, names of points, and what is no expression."""

import pytest

from care_verl.verifier import verify


@pytest.mark.parametrize(
    ("answer", "gold", "same"),
    [
        (r"\angle ABC", r"\angle CBA", True),
        ("∠ABC", r"\angle ABC", True),
        ("angle ABC", r"\angle ABC", True),
        ("ABC", r"\angle ABC", True),
        (r"\angle ACB", r"\angle ABC", False),
        (r"\triangle ABC", r"\angle ABC", False),
        (r"\overline{BA}", r"\overline{AB}", True),
        ("AB", r"\overline{AB}", True),
        ("AC", r"\overline{AB}", False),
        (r"\triangle ABC \cong \triangle DEF", r"△ABC ≅ △DEF", True),
        (r"6\sqrt{3} cm", r"6\sqrt{3}", True),
        (r"6\sqrt{3}\text{ cm}^2", r"6\sqrt{3} cm²", True),
        (r"6\sqrt{3} m", r"6\sqrt{3} cm", False),
        (r"\frac{3\sqrt{3}}{50} m", r"6\sqrt{3} cm", True),
        (r"3\pi cm^2", r"3\pi cm^3", False),
        (r"\sin 30^\circ", "0.5", True),
        (r"\frac{1}{2} m", r"\frac{m}{2}", True),
        ("2x m", "2x", False),
        ("not 5", "5", False),
        ("more than 5", "5", False),
        ("1 2", "12", False),
        ("5", "between 3 and x^5", False),
        (r"\sqrt{3}", r"2 and \sqrt{3}", False),
        (r"\sqrt{3} and 2", r"2, \sqrt{3}", True),
        (r"x=\pm 3", "3, -3", True),
    ],
)
def test_equality(answer: str, gold: str, same: bool) -> None:
    assert verify(f"<answer>{answer}</answer>", gold).acc == float(same)
