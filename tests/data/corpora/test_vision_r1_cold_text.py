"""A demonstration's one form, and what cannot be brought to it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from care_verl.data.corpora.demonstration_text import UnusableError, normal_form, without_prefix
from care_verl.grammar import TagSpec
from care_verl.verifier import extract

FORM = "<think>Two and two.</think><answer>4</answer>"


@pytest.mark.parametrize(
    "text",
    [
        FORM,
        " <think>\nTwo and two.\n</think>\n\n<answer>\n4\n</answer>\n",
        "<Think>Two and two.</THINK> <Answer> 4</ANSWER>",
        "< think >Two and two.</ think >< answer >4</answer >",
        "<think>Two and two.</think><answer>Final Answer: 4</answer>",
        "<think>Two and two.</think><answer>**Final Answer:** 4</answer>",
        "<think>Two and two.</think><answer>**Final Answer**: 4</answer>",
        "<think>Two and two.</think><answer>**Final Answer: 4**</answer>",
        "<think>Two and two.</think><answer>### Final answer:\n4</answer>",
        "<think>Two and two.</think><answer>Final Answer:Final Answer:4</answer>",
        "<think>Two and two.</think><answer>Final Answer：4</answer>",
    ],
)
def test_spellings_of_one_demonstration(text: str) -> None:
    assert normal_form(text, TagSpec()) == FORM


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Two and two is 4.", "no rationale"),
        ("<answer>4</answer>", "no rationale"),
        ("<think>a</think>", "no answer"),
        ("<think>a</think> Final Answer: 4", "no answer"),
        ("<think>a<answer>4</answer>", "rationale not closed, or not opened"),
        ("a</think><answer>4</answer>", "rationale not closed, or not opened"),
        ("<think>a</think><answer>4", "answer not closed, or not opened"),
        ("<think>a</think><think>b</think><answer>4</answer>", "several rationales"),
        ("<think>a</think><answer>4</answer><answer>4</answer>", "several answers"),
        ("<answer>4</answer><think>a</think>", "tags out of order"),
        ("<think>a<answer>4</answer></think>", "tags out of order"),
        ("<think> </think><answer>4</answer>", "empty rationale"),
        ("<think>a</think><answer>\n</answer>", "empty answer"),
        ("<think>a</think><answer>Final Answer:</answer>", "empty answer"),
        ("So: <think>a</think><answer>4</answer>", "text outside rationale and answer"),
        ("<think>a</think> thus <answer>4</answer>", "text outside rationale and answer"),
        ("<think>a</think><answer>4</answer>.", "text outside rationale and answer"),
        ("<think>see <image></think><answer>4</answer>", "placeholder of media in the response"),
    ],
)
def test_what_cannot_be_used_is_told_by_its_reason(text: str, reason: str) -> None:
    with pytest.raises(UnusableError, match=f"^{reason}$"):
        normal_form(text, TagSpec())


def test_other_names_of_the_tags() -> None:
    tags = TagSpec("reason", "result")
    assert normal_form(FORM, tags) == "<reason>Two and two.</reason><result>4</result>"
    with pytest.raises(UnusableError, match="not well formed"):
        normal_form("<think>a <result>1</result></think><answer>4</answer>", tags)


@pytest.mark.parametrize(
    "answer", ["B", "**B**", "The final answer is 4", "finally: 4", "x: final answer: 4", "4**"]
)
def test_other_answers_stay_as_they_are(answer: str) -> None:
    assert without_prefix(answer) == answer


@given(st.text(alphabet="<>/ thinkaswerTHINK*:Final\n\x00é", max_size=120))
def test_whatever_is_accepted_is_well_formed_and_stays_the_same(text: str) -> None:
    try:
        form = normal_form(f"<think>{text}</think><answer>{text}</answer>", TagSpec())
    except UnusableError:
        return
    assert extract(form).well_formed
    assert normal_form(form, TagSpec()) == form


def test_long_texts_take_no_time() -> None:
    start = time.perf_counter()
    for piece in ("<", "< ", "<answer>", "<think>", "**", "Final Answer:", "##", " "):
        text = piece * 100_000
        without_prefix(text)
        with pytest.raises(UnusableError):
            normal_form(text, TagSpec())
    assert time.perf_counter() - start < 20
