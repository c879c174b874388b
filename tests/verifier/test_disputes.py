"""Wrappers, assignments and options on which two readings once disagreed."""

import pytest

from care_verl.verifier import verify


@pytest.mark.parametrize(
    ("answer", "gold", "choices", "same"),
    [
        ("x = yes", "yes", None, True),
        ("United States", "x = United States", None, True),
        (r"([72/66 and \frac{20\pi}{8}])", r"[72/66 and \frac{20\pi}{8}]", None, True),
        (r"\left({1 and 2}\right)", "{1 and 2}", None, True),
        ("(67/-1)", "-67", None, True),
        (r"\text{30 \frac{27}{15} cm}", r"\left(30 \frac{27}{15} cm\right)", None, True),
        ("A", "E", ["E", "F"], True),
        ("D.", "D", ["-803", "D"], True),
        ("A", "D", ["-803", "D"], False),
        ("(1,3)", "1.3", None, False),
        ("1.3", "(1,3)", None, False),
        ("(x+1)(x-2)", "x^2-x-2", None, True),
        ("-29", "18-47", None, False),
        ("18 - 47", "18-47", None, True),
        ("18–47", "18-47", None, True),
        ("2^-1", "0.5", None, True),
        ("sqrt(16)", "4", None, True),
        ("≈ 5", "5", None, True),
        ("€1.5bn", "1.5 billion", None, True),
        ("2 dozen", "24", None, True),
    ],
)
def test_settled(answer: str, gold: str, choices: list[str] | None, same: bool) -> None:
    assert verify(f"<answer>{answer}</answer>", gold, "", choices).acc == float(same)
