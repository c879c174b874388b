"""Demonstrations err at the rates that were asked for, and only then."""

from collections import Counter

import pytest

from care_verl.data.embedded.demonstrations import (
    REVISION_CUE,
    NoiseRates,
    demonstration,
    rationale_text,
    response_text,
)
from care_verl.data.embedded.errors import classify_error
from care_verl.data.embedded.generator import example
from care_verl.data.embedded.questions import LEVELS
from care_verl.data.embedded.rows import rl_row
from care_verl.verifier import verify

INFO = {
    "level": "sum",
    "readings": [{"colour": "red", "height": 3}, {"colour": "blue", "height": 5}],
}


def test_without_noise_every_demonstration_is_right() -> None:
    for index in range(200):
        drawn = example(0, "sft", index)
        text = demonstration(drawn, NoiseRates(misread=0, miscompute=0, revised=0))
        assert text == response_text(rationale_text(drawn.readings), drawn.answer)
        assert (verify(text, drawn.answer).acc, verify(text, drawn.answer).fmt) == (1, 1)


def test_noise_comes_at_its_rates() -> None:
    rates = NoiseRates(misread=0.1, miscompute=0.3, revised=0)
    count = 3000
    kinds = Counter(
        classify_error(demonstration(drawn, rates), rl_row(drawn)["extra_info"])
        for drawn in (example(0, "sft", index) for index in range(count))
    )
    assert kinds["format"] == 0
    assert kinds["reading"] / count == pytest.approx(1 - 0.9**2, abs=0.04)
    assert kinds["arithmetic"] / count == pytest.approx(0.9**2 * 0.3, abs=0.04)


def test_a_wrong_result_is_that_of_another_operation() -> None:
    rates = NoiseRates(misread=0, miscompute=1, revised=0)
    for index in range(200):
        drawn = example(0, "sft", index)
        heights = list(drawn.readings.values())
        answer = int(verify(demonstration(drawn, rates), drawn.answer).answer or -1)
        assert answer in {level.compute(*heights) for level in LEVELS.values()}
        assert str(answer) != drawn.answer


def test_a_revised_demonstration_reads_twice_and_is_right() -> None:
    rates = NoiseRates(misread=1, miscompute=1, revised=1)
    for index in range(50):
        drawn = example(0, "sft", index)
        text = demonstration(drawn, rates)
        assert verify(text, drawn.answer).acc == 1
        assert REVISION_CUE in text
        assert classify_error(text, rl_row(drawn)["extra_info"]) is None


def test_a_demonstration_is_the_same_at_every_call() -> None:
    drawn = example(0, "sft", 5)
    assert demonstration(drawn, NoiseRates()) == demonstration(drawn, NoiseRates())


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ("<think>red3 blue5</think><answer>8</answer>", None),
        ("<think>red4 blue5</think><answer>8</answer>", None),
        ("<answer>8</answer>", None),
        ("<think>red3 blue5</think><answer>9</answer>", "arithmetic"),
        ("<think>blue = 5, red = 3</think><answer>9</answer>", "arithmetic"),
        ("<think>red4 blue5\nWrong. red3</think><answer>9</answer>", "arithmetic"),
        ("<think>red4 blue5</think><answer>9</answer>", "reading"),
        ("<think>red3 blue5\nWrong. red4</think><answer>9</answer>", "reading"),
        ("<think>red3</think><answer>9</answer>", "reading"),
        ("<think>red33 blue5</think><answer>9</answer>", "reading"),
        ("<answer>9</answer>", "reading"),
        ("<think>red3 blue5</think><answer>8", "format"),
        ("<think>red3 blue5</think><answer></answer>", "format"),
        ("<think>red3 blue5</think><answer>8</answer><answer>9</answer>", "format"),
        ("<think>red3 blue5", "format"),
        ("", "format"),
    ],
)
def test_errors_are_told_apart(response: str, kind: str | None) -> None:
    assert classify_error(response, INFO) == kind
