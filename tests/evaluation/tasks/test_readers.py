"""Rows in the published schemas, as questions. What a model makes of them is not shown here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from care_verl.tools.evaluation.benchmarks import BENCHMARKS, PAPER, benchmark_of, chosen
from care_verl.tools.evaluation.data import load
from care_verl.tools.evaluation.tasks.question import Picture, Question


@pytest.fixture(scope="module")
def rows(benchmark_files: Path) -> dict[str, list[Question]]:
    return {
        name: [benchmark.read(doc) for doc in load(benchmark)]
        for name, benchmark in BENCHMARKS.items()
    }


def test_every_file_is_read(rows: dict[str, list[Question]]) -> None:
    counts = {name: len(questions) for name, questions in rows.items()}
    assert counts == {
        "mathvista": 5,
        "mathverse": 3,
        "mathvision": 4,
        "mmmu": 4,
        "mmmu_pro_standard": 2,
        "mmmu_pro_vision": 1,
        "embedded": 2,
    }
    for questions in rows.values():
        assert len({question.doc_id for question in questions}) == len(questions)


def test_mathvista_asks_in_the_data_sets_own_words(rows: dict[str, list[Question]]) -> None:
    animals, length, count, several, angle = rows["mathvista"]
    assert animals.parts[0] == Picture("decoded_image")
    assert animals.text.startswith("<image>Hint: Please answer the question and provide the")
    assert "(D) Owl" in animals.text
    assert (animals.gold, animals.choices) == ("D", ("Dog", "Cat", "Horse", "Owl"))
    assert (length.gold, length.decimals, length.choices) == ("1.5", 1, None)
    assert (count.gold, count.decimals) == ("12", None)
    assert several.gold == "[3, 5]"
    assert angle.gold == "B"
    assert {question.group for question in rows["mathvista"]} == {"figure QA"}


def test_mathvista_gold_beside_its_options_is_an_error() -> None:
    doc = {
        "pid": "1",
        "query": "",
        "choices": ["a", "b"],
        "answer": "c",
        "precision": None,
        "question_type": "multi_choice",
        "answer_type": "text",
        "metadata": {"task": ""},
    }
    with pytest.raises(ValueError, match="row 1: answer 'c' is none of"):
        BENCHMARKS["mathvista"].read(doc)


def test_mathverse_options_of_a_question_that_only_the_image_shows(
    rows: dict[str, list[Question]],
) -> None:
    words, image, free = rows["mathverse"]
    assert words.choices == image.choices == ("40°", "60°", "120°", "140°")
    assert "Question: As shown" in words.text
    assert "Question:" not in image.text
    assert [question.group for question in rows["mathverse"]] == [
        *("Text Dominant", "Vision Only", "Vision Dominant"),
    ]
    assert (free.gold, free.choices) == ("2 \\sqrt{5}", None)


def test_mathvision_image_stands_where_the_question_names_it(
    rows: dict[str, list[Question]],
) -> None:
    missing, rope, fraction, total = (question.text for question in rows["mathvision"])
    assert missing == "Which part is missing?\n<image>\nA. A\nB. B\nC. C\nD. D\nE. E"
    assert rope == "How long is the rope? <image> Give metres."
    assert fraction == "In which fraction of <image> does <image2> fit?"
    assert total == "<image>What is the sum?\nA. $\\frac{1}{2}$\nB. $2$"
    assert [question.choices is None for question in rows["mathvision"]] == [False, True] * 1 + [
        *(True, False)
    ]


def test_mmmu_images_stand_where_text_and_options_name_them(
    rows: dict[str, list[Question]],
) -> None:
    paintings, posters, share, animal = rows["mmmu"]
    assert paintings.parts == (
        *("Compare ", Picture("image_2"), " with ", Picture("image_1")),
        *(". Which was painted over ", Picture("image_2")),
        "?\nA. The first\nB. The second",
    )
    assert posters.parts == (
        *("Which poster follows?\nA. ", Picture("image_3"), "\nB. ", Picture("image_1")),
        "\nC. None, it's the last",
    )
    assert posters.choices == ("<image 3>", "<image 1>", "None, it's the last")
    assert (share.gold, share.choices) == ("['1/2', '0.5']", None)
    assert animal.parts == (Picture("image_1"), " Name the animal.")
    assert [question.group for question in rows["mmmu"]] == [
        *("Art_Theory", "Design", "Finance", "Biology"),
    ]


def test_mmmu_pro_has_ten_options_and_shows_none_in_vision(
    rows: dict[str, list[Question]],
) -> None:
    history, _ = rows["mmmu_pro_standard"]
    assert history.text.endswith("\nJ. option number 10")
    assert (history.gold, len(history.choices or ())) == ("J", 10)
    (vision,) = rows["mmmu_pro_vision"]
    assert vision.text == "<image>Answer the multiple-choice question in the image."
    assert vision.choices == history.choices


def test_embedded_prompt_is_the_one_of_training(rows: dict[str, list[Question]]) -> None:
    first, _ = rows["embedded"]
    assert first.parts[0] == Picture("images", 0)
    assert first.text.startswith("<image>")
    assert first.doc_id == "test-0-0"


@pytest.mark.parametrize("written", ["A", "{'a': 1}", "[1,", "open(1)"])
def test_options_that_are_no_list_are_an_error(written: str) -> None:
    doc: dict[str, Any] = {"id": "1", "question": "", "options": written, "answer": "A"}
    with pytest.raises(ValueError, match="expected a list in Python's notation"):
        BENCHMARKS["mmmu_pro_standard"].read({**doc, "subject": ""})


def test_names_on_the_command_line() -> None:
    assert [each.name for each in chosen(["embedded", "paper", "mmmu"])] == ["embedded", *PAPER]
    assert len(PAPER) == 6
    assert benchmark_of("care_mmmu_val").name == "mmmu"
    with pytest.raises(ValueError, match="benchmark 'mmu'; expected paper, or one of mathvista"):
        chosen(["mmu"])
    with pytest.raises(ValueError, match="no benchmark named"):
        chosen([])
