"""The quickstart's lines for data of one's own, run as they stand there.

That verl loads what they write is not shown here: tests of the prepared corpora, whose schema it
is, show that.
"""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from care_verl.data.columns import IMAGE_PLACEHOLDER
from care_verl.data.corpora.prompt import prompt_text
from care_verl.data.corpora.schema import RL_SCHEMA
from care_verl.grammar import TagSpec

from .pages import DOCS, Page

(LINES,) = (block for block in Page(DOCS / "quickstart.md").blocks if "RL_SCHEMA" in block)


def test_they_write_rows_as_the_corpora_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (56, 28), (200, 10, 30)).save("chart.png")
    exec(compile(LINES, "quickstart.md", "exec"), {})
    table = pq.read_table("mine.parquet")
    assert table.schema.equals(RL_SCHEMA)
    (row,) = table.to_pylist()
    (message,) = row["prompt"]
    question = row["extra_info"]["question"]
    assert message == {"role": "user", "content": prompt_text(question, 1, TagSpec())}
    assert message["content"].count(IMAGE_PLACEHOLDER) == len(row["images"])
    assert Image.open(io.BytesIO(row["images"][0]["bytes"])).size == (56, 28)
    assert row["reward_model"] == {"style": "rule", "ground_truth": "12 cm"}


def test_an_answer_that_nothing_matches_is_refused() -> None:
    with pytest.raises(AssertionError, match="unbalanced braces"):
        exec(compile(LINES.replace("12 cm", "{12"), "quickstart.md", "exec"), {})
