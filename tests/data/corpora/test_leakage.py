"""Evaluation files as they come, and which rows of a mixture stand in them."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.data.corpora.fingerprints import image_fingerprint, question_key
from care_verl.data.corpora.leakage import EvaluationColumns, evaluation_fingerprints, find_matches
from care_verl.data.corpora.mixture import NEAR_DISTANCE
from care_verl.data.corpora.row_fingerprints import RowFingerprint

from .samples import drawing, encoded, retouched

PNG = encoded(drawing(1))


def parquet(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "eval.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def lines(folder: Path, *rows: Any) -> Path:
    path = folder / "eval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(*numbers: int, question: str = "Find x.") -> RowFingerprint:
    prints = tuple(image_fingerprint(encoded(drawing(n), "JPEG")) for n in numbers)
    return RowFingerprint(Path("f"), 0, "s", "0", question_key(question), "1", None, prints)


@pytest.mark.parametrize(
    "cells",
    [
        {"image": {"bytes": PNG, "path": None}, "question": "Find x"},
        {"image": PNG, "query": "Find x"},
        {"images": [{"bytes": PNG}], "problem": "<image>Find x."},
        {"image": "images/1.png", "decoded_image": {"bytes": PNG}, "question": "Find x"},
        {"image_1": {"bytes": PNG}, "image_2": None, "question": "<image 1> Find x"},
        {"image": {"bytes": None, "path": "pictures/1.png"}, "question": "Find x"},
        {"image": "pictures/1.png", "prompt": "Find x"},
    ],
)
def test_columns_and_image_forms_that_are_known(tmp_path: Path, cells: dict[str, Any]) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(PNG)
    (entry,) = evaluation_fingerprints(parquet(tmp_path, cells), EvaluationColumns())
    assert entry.question == question_key("Find x")
    assert [image.pixels for image in entry.images] == [image_fingerprint(PNG).pixels]


def test_json_lines_with_paths_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(PNG)
    path = lines(tmp_path, {"question": "a", "image": "1.png"}, {"question": "b", "image": None})
    entries = list(evaluation_fingerprints(path, EvaluationColumns()))
    assert [(entry.row, entry.question) for entry in entries] == [(0, "a")]


@pytest.mark.parametrize(
    ("cells", "columns", "message"),
    [
        (
            {"picture": PNG, "question": "a"},
            {},
            r"no image column .*it has picture, question\..*--im",
        ),
        ({"image": PNG, "text": "a"}, {}, r"no question column .*it has image, text\..*--question"),
        ({"image": PNG, "question": "a"}, {"image": "photo"}, r"no image column \(photo\)"),
        ({"image": PNG, "question": "a"}, {"question": "q"}, r"no question column \(q\)"),
        ({"image": b"broken", "question": "a"}, {}, r"row 0: image 0 does not open"),
        ({"image": 3, "question": "a"}, {}, r"row 0: expected an image as bytes.*found int"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, cells: dict[str, Any], columns: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        list(evaluation_fingerprints(parquet(tmp_path, cells), EvaluationColumns(**columns)))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.parquet does not exist"):
        list(evaluation_fingerprints(tmp_path / "none.parquet", EvaluationColumns()))
    path = parquet(tmp_path, {"image": "gone.png", "question": "a"})
    with pytest.raises(FileNotFoundError, match=r"row 0: its image .*gone\.png does not exist"):
        list(evaluation_fingerprints(path, EvaluationColumns()))


def test_a_line_that_is_no_object_or_lacks_a_key_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path, {"question": "a", "image": None}, {"question": "b"})
    with pytest.raises(ValueError, match=r"row 1: no 'image'; it has question"):
        list(evaluation_fingerprints(path, EvaluationColumns()))
    path = lines(tmp_path, {"question": "a", "image": None}, [1])
    with pytest.raises(ValueError, match=r"eval.jsonl:2: a JSON list, expected an object"):
        list(evaluation_fingerprints(path, EvaluationColumns()))
    path.write_text('{"question": "a", "image": null}\n{"question"\n')
    with pytest.raises(ValueError, match=r"eval.jsonl:2: no JSON"):
        list(evaluation_fingerprints(path, EvaluationColumns()))
    (tmp_path / "eval.csv").write_text("")
    with pytest.raises(ValueError, match=r"\.parquet or \.jsonl"):
        list(evaluation_fingerprints(tmp_path / "eval.csv", EvaluationColumns()))


def test_image_and_question_leak_an_image_alone_is_listed(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        {"images": [{"bytes": PNG}, {"bytes": encoded(drawing(2))}], "question": "Find y"},
        {"images": [{"bytes": encoded(retouched(1))}], "question": "FIND X"},
    )
    evaluation = list(evaluation_fingerprints(path, EvaluationColumns()))
    rows = [row(1), row(2), row(3), row(7, 2, question="find y"), row(question="Find x.")]
    matches = find_matches(rows, evaluation, NEAR_DISTANCE)
    assert [(m.row, m.evaluation.row, m.asked) for m in matches] == [
        (0, 1, True),
        (1, 0, False),
        (3, 0, True),
    ]
