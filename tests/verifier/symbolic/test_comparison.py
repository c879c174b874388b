"""One comparison by math-verify, here in the test's own process."""

import pytest

from care_verl.verifier.symbolic import Form, comparison


class Unspeakable:
    """As sympy's products with NaN: to print them raises."""

    def __str__(self) -> str:
        raise TypeError("Invalid NaN comparison")


def test_what_cannot_be_printed_is_compared_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_parsed", lambda form: (Unspeakable(), form.text))
    found = comparison.compared(Form("nan", "math"), Form("nan", "math"))
    assert (found.same, found.answer_read, found.gold_readable) == (True, "", False)


@pytest.mark.parametrize(
    ("answer", "gold", "same"),
    [
        (Form(r"\sqrt{8}", "math"), Form(r"2\sqrt{2}", "math"), True),
        (Form(r"\sqrt{8}", "math"), Form("3", "math"), False),
        (Form(r"so $\sqrt{8}$ it is", "prose"), Form(r"$2\sqrt{2}$", "prose"), True),
    ],
)
def test_forms(answer: Form, gold: Form, same: bool) -> None:
    assert comparison.compared(answer, gold).same == same


def test_a_gold_answer_that_is_a_string_only_is_not_readable() -> None:
    form = Form(r"\foo{3} + \bar", "math")
    found = comparison.compared(form, form)
    assert found.same
    assert not found.gold_readable
