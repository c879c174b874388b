"""Text of a row: the box around an answer, options inside a question, and the prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from care_verl.data.corpora.choices import choices_in
from care_verl.data.corpora.limits import Limits
from care_verl.data.corpora.prompt import bare_question, instruction, prompt_text
from care_verl.data.corpora.virl39k import unboxed
from care_verl.grammar import TagSpec


@pytest.mark.parametrize(
    ("answer", "inner"),
    [
        (r"\boxed{17}", "17"),
        (r" \boxed{ \frac{1}{2} } ", r"\frac{1}{2}"),
        (r"$\boxed{B}$", "B"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("17", "17"),
        (r"\boxed{}", ""),
        # Not one balanced box: as it is.
        (r"\boxed{\frac{1}{2}", r"\boxed{\frac{1}{2}"),
        (r"\boxed{1}}", r"\boxed{1}}"),
        (r"\boxed{1} and \boxed{2}", r"\boxed{1} and \boxed{2}"),
        (r"x = \boxed{1}", r"x = \boxed{1}"),
        (r"\boxed{1\}", r"\boxed{1\}"),
    ],
)
def test_the_box_is_taken_off_where_its_braces_balance(answer: str, inner: str) -> None:
    assert unboxed(answer) == inner


@given(st.text("{}\\a$", max_size=12))
def test_any_answer_can_be_unboxed_and_what_is_taken_off_is_balanced(text: str) -> None:
    answer = f"\\boxed{{{text}}}"
    inner = unboxed(answer)
    if inner != answer:
        signs = inner.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
        assert signs.count("{") == signs.count("}")


FOUR = ("12 cm", "13 cm", "14 cm", "15 cm")


@pytest.mark.parametrize(
    "question",
    [
        "<image>How long?\n(A) 12 cm\n(B) 13 cm\n(C) 14 cm\n(D) 15 cm",
        "<image>How long?\nA. 12 cm\nB. 13 cm\nC. 14 cm\nD. 15 cm\n",
        "How long?\nA) 12 cm\n B) 13 cm\nC) 14 cm\nD) 15 cm",
        "How long?\nA: 12 cm\nB: 13 cm\nC: 14 cm\nD: 15 cm",
        "How long is AB? Choices: (A) 12 cm (B) 13 cm (C) 14 cm (D) 15 cm",
        "How long is side A. Options: A. 12 cm B. 13 cm C. 14 cm D. 15 cm",
        "How long? (A) 12 cm (B) 13 cm (C) 14 cm (D) 15 cm",
    ],
)
@pytest.mark.parametrize("answer", ["B", "(D)", "13 cm"])
def test_options_are_read_from_the_question(question: str, answer: str) -> None:
    assert choices_in(question, answer) == FOUR


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How long is the way from point A. to point B. in cm?", "3"),
        ("Parts (A) and (B) are alike. What is x?", "A"),
        ("See (A) here, (B) there and (C) too. Which is larger?", "B"),
        ("Which?\n(A) 1\n(C) 2\n(D) 3", "A"),
        ("Which?\n(A) 1\n(B) 2\n(A) 3\n(B) 4", "A"),
        ("Which?\n(A) 1\n(B)", "A"),
        ("Which?\n(A) 1\nB. 2", "A"),
        ("Which?\n(A) 1\n(B) 2\nGive reasons.", "A"),
        # The gold answer is neither a letter nor a text of theirs.
        ("Which?\n(A) 1\n(B) 2", "C"),
        ("Which?\n(A) 1\n(B) 2", "7"),
        ("What is x?", "A"),
    ],
)
def test_what_may_be_something_else_is_no_list_of_options(question: str, answer: str) -> None:
    assert choices_in(question, answer) is None


@given(
    st.lists(st.text("abc 123√", min_size=1, max_size=8).filter(str.strip), min_size=2, max_size=9)
)
def test_options_in_lines_are_read_back_as_written(options: list[str]) -> None:
    lines = [f"({chr(ord('A') + n)}) {text.strip()}" for n, text in enumerate(options)]
    question = "Which one?\n" + "\n".join(lines)
    assert choices_in(question, "A") == tuple(text.strip() for text in options)


def test_the_prompt_holds_placeholders_question_and_instruction() -> None:
    tags = TagSpec("reasoning", "final")
    text = prompt_text("How tall?", 2, tags)
    assert text == f"<image><image>How tall?\n\n{instruction(tags)}"
    assert "<reasoning> </reasoning>" in text
    assert "<final> </final>" in text
    assert prompt_text("Here <image> and <image>?", 2, tags) == (
        f"Here <image> and <image>?\n\n{instruction(tags)}"
    )
    assert bare_question("<image>Find x.") == "Find x."


@pytest.mark.parametrize("question", ["<image><image>Find x.", "<video>Find x.", "<image><audio>x"])
def test_placeholders_that_do_not_fit_the_images(question: str) -> None:
    assert prompt_text(question, 1, TagSpec()) is None


@pytest.mark.parametrize("names", [("think", "think"), ("<think>", "answer"), ("think", "")])
def test_tags_that_cannot_be_used(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="tag"):
        TagSpec(*names)


@pytest.mark.parametrize("values", [(0, 10, 5), (10, 9, 5), (1, 10, 0)])
def test_limits_that_nothing_can_keep(values: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Limits(*values)
