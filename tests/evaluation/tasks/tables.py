"""Small files in the published schemas of the benchmarks: columns, types and notation as they are.

The questions are made up. Every image is of one colour, so that a test can tell which one it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, List, Value
from PIL import Image as Pillow

from care_verl.data.embedded.generator import example
from care_verl.data.embedded.rows import RL_SCHEMA, rl_row, write_rows

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
}
_TEXT = Value("string")
_METADATA = {
    **dict.fromkeys(("category", "context", "grade", "language", "source", "split"), _TEXT),
    "task": _TEXT,
    "img_height": Value("int64"),
    "img_width": Value("int64"),
    "skills": List(_TEXT),
}
_MMMU_IMAGES = {f"image_{number}": Image() for number in range(1, 8)}

MATHVISTA = Features(
    {
        **dict.fromkeys(("pid", "question", "image"), _TEXT),
        "decoded_image": Image(),
        "choices": List(_TEXT),
        "unit": _TEXT,
        "precision": Value("float64"),
        "answer": _TEXT,
        "question_type": _TEXT,
        "answer_type": _TEXT,
        "metadata": _METADATA,
        "query": _TEXT,
    }
)
MATHVERSE = Features(
    {
        **dict.fromkeys(("sample_index", "problem_index", "problem_version"), _TEXT),
        "question": _TEXT,
        "image": Image(),
        "answer": _TEXT,
        "question_type": _TEXT,
        "metadata": dict.fromkeys(("split", "source", "subject", "subfield"), _TEXT),
        **dict.fromkeys(("query_wo", "query_cot", "question_for_eval"), _TEXT),
    }
)
MATHVISION = Features(
    {
        "id": _TEXT,
        "question": _TEXT,
        "options": List(_TEXT),
        "image": _TEXT,
        "decoded_image": Image(),
        "answer": _TEXT,
        "solution": _TEXT,
        "level": Value("int64"),
        "subject": _TEXT,
    }
)
MMMU = Features(
    {
        **dict.fromkeys(("id", "question", "options", "explanation"), _TEXT),
        **_MMMU_IMAGES,
        **dict.fromkeys(("img_type", "answer", "topic_difficulty", "question_type"), _TEXT),
        "subfield": _TEXT,
    }
)
MMMU_PRO = Features(
    {
        **dict.fromkeys(("id", "question", "options", "explanation"), _TEXT),
        **_MMMU_IMAGES,
        **dict.fromkeys(("img_type", "answer", "topic_difficulty", "subject"), _TEXT),
    }
)
MMMU_PRO_VISION = Features(
    {"id": _TEXT, "image": Image(), "options": _TEXT, "answer": _TEXT, "subject": _TEXT}
)


def picture(colour: str) -> Pillow.Image:
    """An image of one colour, large enough for Qwen2.5-VL."""
    return Pillow.new("RGB", (56, 56), COLOURS[colour])


def write_benchmarks(folder: Path) -> Path:
    """All seven benchmarks under `folder`, each where the hub has its files."""
    tables = {
        "mathvista/data/testmini-00000-of-00001-725687bf7a18d64b": (MATHVISTA, _mathvista()),
        "mathverse/testmini": (MATHVERSE, _mathverse()),
        "mathvision/data/test-00000-of-00001-3532b8d3f1b4047a": (MATHVISION, _mathvision()),
        "mmmu/data/validation-00000-of-00001": (MMMU, _mmmu()),
        "mmmu_pro_vision/vision/test-00000-of-00001": (MMMU_PRO_VISION, _mmmu_pro_vision()),
    }
    for name, (features, rows) in tables.items():
        _write(folder / f"{name}.parquet", features, rows)
    shards = folder / "mmmu_pro_standard" / "standard (10 options)"
    for number, row in enumerate(_mmmu_pro_standard()):
        _write(shards / f"test-0000{number}-of-00002.parquet", MMMU_PRO, [row])
    embedded = folder / "embedded"
    embedded.mkdir(parents=True)
    rows = [rl_row(example(0, "test", index)) for index in range(2)]
    write_rows(rows, embedded / "test.parquet", RL_SCHEMA)
    return folder


def _write(file: Path, features: Features, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    blank = dict.fromkeys(features)
    Dataset.from_list([{**blank, **row} for row in rows], features=features).to_parquet(file)


def _mathvista() -> list[dict[str, Any]]:
    letter = "Please answer the question and provide the correct option letter, e.g., A, B, C, D"
    one = (
        "Please answer the question requiring a floating-point number with one decimal place and "
        "provide the final value, e.g., 1.2, 1.3, 1.4"
    )
    whole = (
        "Please answer the question requiring an integer answer and provide the final value, e.g., "
        "1, 2, 3"
    )
    several = (
        "Please answer the question requiring a Python list as an answer and provide the final "
        "list, e.g., [1, 2, 3], [1.2, 1.3, 1.4]"
    )
    animals = ["Dog", "Cat", "Horse", "Owl"]
    rows = [
        ("multi_choice", "text", "Which animal is largest?", animals, "Owl", None, letter),
        ("free_form", "float", "How long is the bar?", None, "1.5", 1.0, one),
        ("free_form", "integer", "How many bars are red?", None, "12", None, whole),
        ("free_form", "list", "Which two are lowest?", None, "[3, 5]", None, several),
        ("multi_choice", "text", "What is $x$?", ["97", "102"], "102", None, letter),
    ]
    return [
        {
            "pid": str(number + 1),
            "question": question,
            "image": f"images/{number + 1}.jpg",
            "decoded_image": picture("red"),
            "choices": choices,
            "precision": precision,
            "answer": answer,
            "question_type": kind,
            "answer_type": answer_type,
            "metadata": {**dict.fromkeys(_METADATA), "split": "testmini", "task": "figure QA"},
            "query": _mathvista_query(hint, question, choices),
        }
        for number, (kind, answer_type, question, choices, answer, precision, hint) in enumerate(
            rows
        )
    ]


def _mathvista_query(hint: str, question: str, choices: list[str] | None) -> str:
    lines = [f"Hint: {hint}, at the end.", f"Question: {question}"]
    if choices:
        lines += ["Choices:", *(f"({letter}) {c}" for letter, c in zip("ABCD", choices))]  # noqa: B905
    return "\n".join(lines)


def _mathverse() -> list[dict[str, Any]]:
    stem = "As shown in the figure, angle A = 80.0, then angle B is ()"
    options = "Choices:\nA:40°\nB:60°\nC:120°\nD:140°"
    asked = "and provide the correct option letter, e.g., A, B, C, D, at the end."
    whole = f"{stem}\n{options}"
    cot = f"Please first conduct reasoning, and then answer the question {asked}"
    seen = "According to the question shown in the image, please first conduct reasoning, and then"
    free = "Find the length of CD."
    return [
        {
            "sample_index": "1",
            "problem_index": "1",
            "problem_version": "Text Dominant",
            "question": whole,
            "image": picture("green"),
            "answer": "B",
            "question_type": "multi-choice",
            "query_wo": f"Please directly answer the question {asked}\nQuestion: {whole}",
            "query_cot": f"{cot}\nQuestion: {whole}",
            "question_for_eval": whole,
        },
        {
            "sample_index": "2",
            "problem_index": "1",
            "problem_version": "Vision Only",
            "question": "",
            "image": picture("blue"),
            "answer": "B",
            "question_type": "multi-choice",
            "query_wo": f"According to the question shown in the image, please directly {asked}",
            "query_cot": f"{seen} answer the question {asked}",
            "question_for_eval": whole,
        },
        {
            "sample_index": "3",
            "problem_index": "2",
            "problem_version": "Vision Dominant",
            "question": free,
            "image": picture("red"),
            "answer": "2 \\sqrt{5}",
            "question_type": "free-form",
            "query_wo": f"Please directly answer the question.\nQuestion: {free}",
            "query_cot": f"Please first conduct reasoning.\nQuestion: {free}",
            "question_for_eval": free,
        },
    ]


def _mathvision() -> list[dict[str, Any]]:
    rows = [
        ("4", "Which part is missing?\n<image1>", list("ABCDE"), "D", "combinatorics"),
        ("9", "How long is the rope? <image1> Give metres.", [], "12 m", "metric geometry"),
        ("12", "In which fraction of <image1> does <image2> fit?", [], "\\frac{1}{2}", "algebra"),
        ("15", "What is the sum?", ["$\\frac{1}{2}$", "$2$"], "A", "arithmetic"),
    ]
    return [
        {
            "id": name,
            "question": question,
            "options": options,
            "image": f"images/{name}.jpg",
            "decoded_image": picture("blue"),
            "answer": answer,
            "level": 2,
            "subject": subject,
        }
        for name, question, options, answer, subject in rows
    ]


def _mmmu() -> list[dict[str, Any]]:
    colours = {"image_1": picture("red"), "image_2": picture("green"), "image_3": picture("blue")}
    plain = {"img_type": "['Tables']", "topic_difficulty": "Easy", "subfield": "Painting"}
    return [
        {
            "id": "validation_Art_Theory_1",
            "question": "Compare <image 2> with <image 1>. Which was painted over <image 2>?",
            "options": "['The first', 'The second']",
            "answer": "B",
            "question_type": "multiple-choice",
            **plain,
            **colours,
        },
        {
            "id": "validation_Design_7",
            "question": "Which poster follows?",
            "options": "['<image 3>', '<image 1>', 'None, it\\'s the last']",
            "answer": "A",
            "question_type": "multiple-choice",
            **plain,
            **colours,
        },
        {
            "id": "validation_Finance_3",
            "question": "What share is left in <image 1>?",
            "options": "[]",
            "answer": "['1/2', '0.5']",
            "question_type": "open",
            **plain,
            "image_1": picture("black"),
        },
        {
            "id": "validation_Biology_2",
            "question": "<image 1> Name the animal.",
            "options": "[]",
            "answer": "Dolphin",
            "question_type": "open",
            **plain,
            "image_1": picture("black"),
        },
    ]


def _mmmu_pro_standard() -> list[dict[str, Any]]:
    options = [f"option number {number}" for number in range(1, 11)]
    plain = {"img_type": "['Diagrams']", "topic_difficulty": "Hard"}
    return [
        {
            "id": "test_History_5",
            "question": "What does <image 1> show?",
            "options": str(options),
            "image_1": picture("red"),
            "answer": "J",
            "subject": "History",
            **plain,
        },
        {
            "id": "test_Physics_11",
            "question": "In <image 1>, which force is largest?",
            "options": str([f"{number} N" for number in range(1, 11)]),
            "image_1": picture("green"),
            "answer": "C",
            "subject": "Physics",
            **plain,
        },
    ]


def _mmmu_pro_vision() -> list[dict[str, Any]]:
    return [
        {
            "id": "test_History_5",
            "image": picture("black"),
            "options": str([f"option number {number}" for number in range(1, 11)]),
            "answer": "J",
            "subject": "History",
        }
    ]
