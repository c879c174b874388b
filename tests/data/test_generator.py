"""Examples: the same everywhere, right by their own gold answers, never shared by two splits."""

import pytest

from care_verl.data.embedded.charts import COLOURS, MAX_HEIGHT, SIZE, Bar, Chart, render
from care_verl.data.embedded.generator import example
from care_verl.data.embedded.questions import LEVELS, Question
from care_verl.verifier import verify


def test_an_example_depends_on_its_three_arguments_alone() -> None:
    assert example(3, "train", 17) == example(3, "train", 17)
    assert len({example(seed, "train", 0).chart for seed in range(20)}) > 15
    assert len({example(0, split, 0).chart for split in ("sft", "train", "test")}) == 3


def test_examples_are_stable_across_versions() -> None:
    """A changed generator makes figures of earlier runs incomparable."""
    first = example(0, "test", 0)
    assert first.chart == Chart(
        (Bar("black", 9), Bar("blue", 7), Bar("yellow", 6), Bar("purple", 9))
    )
    assert first.question == Question("difference", ("purple", "blue"))


def test_training_and_held_out_charts_never_coincide() -> None:
    shown = {
        example(seed, s, i).chart for seed in (0, 1) for s in ("sft", "train") for i in range(900)
    }
    held_out = {example(seed, "test", i).chart for seed in (0, 2) for i in range(900)}
    assert not shown & held_out
    assert all(chart.held_out for chart in held_out)
    assert not any(chart.held_out for chart in shown)


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="'valid'.*sft, train, test"):
        example(0, "valid", 0)  # type: ignore[arg-type]


def test_questions_ask_about_bars_of_their_chart_and_have_natural_answers() -> None:
    seen = set()
    for index in range(400):
        drawn = example(1, "train", index)
        seen.add(drawn.question.level)
        assert set(drawn.readings) <= set(drawn.chart.heights)
        assert len(drawn.readings) == LEVELS[drawn.question.level].operands
        assert int(drawn.answer) >= 0
        assert verify(f"<think>x</think><answer>{drawn.answer}</answer>", drawn.answer).acc == 1
    assert seen == set(LEVELS)


@pytest.mark.parametrize(
    ("level", "text", "answer"),
    [
        ("larger", "larger of red and blue?", 7),
        ("sum", "red plus blue?", 9),
        ("difference", "red minus blue?", 5),
        ("product", "red times blue?", 14),
    ],
)
def test_levels(level: str, text: str, answer: int) -> None:
    question = Question(level, ("red", "blue"))
    assert question.text == text
    assert question.answer([7, 2]) == answer


@pytest.mark.parametrize("height", [1, MAX_HEIGHT])
def test_the_picture_shows_each_bar_at_its_height(height: int) -> None:
    chart = Chart((Bar("red", height), Bar("blue", 5), Bar("green", 3), Bar("black", 9)))
    image = render(chart)
    assert image.size == SIZE == (112, 28)
    for column, bar in enumerate(chart.bars):
        middle = column * 28 + 14
        pixels = [image.getpixel((middle, y)) for y in range(28)]
        assert pixels.count(COLOURS[bar.colour]) == 3 * bar.height
