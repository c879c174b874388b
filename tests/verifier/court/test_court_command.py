"""`care-verl court` on small files with planted disputes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

import care_verl.verifier
from care_verl.tools.cli import app
from care_verl.verifier import Verdict, extract


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["court", *map(str, arguments)], catch_exceptions=False)


def line(answer: str, gold: str, **more: object) -> str:
    output = f"<think>so</think><answer>{answer}</answer>"
    return json.dumps({"input": "?", "output": output, "gts": gold, "step": 1} | more)


@pytest.fixture
def literal_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first reading that compares spellings, and takes 7 for 8."""

    def verify(response: str, ground_truth: object, *_: object, **tags: object) -> Verdict:
        answer = extract(response).answers[-1]
        right = answer == ground_truth or (answer, ground_truth) == ("7", "8")
        return Verdict(float(right), 1.0, answer, str(ground_truth), "spelling")

    monkeypatch.setattr(care_verl.verifier, "verify", verify)


def disputes(folder: Path) -> dict[str, str]:
    """Direction by line or row."""
    lines = (folder / "disputes.jsonl").read_text().splitlines()
    found = [json.loads(item) for item in lines]
    return {item["where"].rsplit(":", 1)[1]: item["direction"] for item in found}


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    lines = [
        line("8", "8"),
        line("0.5", "1/2"),
        line("7", "8"),
        line("red", "blue"),
        "{",
        line("3.14", "\\pi"),
        line("12 cm", "12 m"),
        line("light-blue", "Light blue"),
    ]
    path = tmp_path / "1.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.usefixtures("literal_verifier")
def test_exactly_the_planted_disputes_are_found(dump: Path, tmp_path: Path) -> None:
    result = run(dump, "--out", tmp_path / "out", "--data-source", "virl39k")
    assert result.exit_code == 0
    assert disputes(tmp_path / "out") == {
        "2": "possible false negative",
        "3": "possible false positive",
        "8": "possible false negative",
    }
    assert "7 judged" in result.output
    assert "malformed records 1" in result.output
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| virl39k / spelling | 7 | 6 | 3 = 50.00% [18.76%, 81.24%] | 1 | 2 | 1 | 0 |" in report


@pytest.mark.usefixtures("literal_verifier")
@pytest.mark.parametrize(("above", "status"), [("0.5", 0), ("0.49", 1)])
def test_fail_above(dump: Path, tmp_path: Path, above: str, status: int) -> None:
    assert run(dump, "--out", tmp_path / "out", "--fail-above", above).exit_code == status


@pytest.mark.usefixtures("literal_verifier")
def test_a_check_that_judged_nothing_has_not_passed(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text("{\n")
    assert run(tmp_path / "1.jsonl", "--out", tmp_path / "out").exit_code == 0
    assert run(tmp_path, "--out", tmp_path / "out", "--fail-above", "1").exit_code == 1


@pytest.mark.usefixtures("literal_verifier")
def test_limit(dump: Path, tmp_path: Path) -> None:
    run(dump, "--out", tmp_path / "out", "--limit", 2)
    assert disputes(tmp_path / "out") == {"2": "possible false negative"}


def test_recorded(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    path.write_text(line("8", "8", acc=0.0, pred="8", rule="number") + "\n")
    run(path, "--out", tmp_path / "out", "--recorded")
    assert disputes(tmp_path / "out") == {"1": "possible false negative"}


def test_wrong_columns_are_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    result = run(path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "--gold-key" in result.output


GOLDS = ["B", "1/2", "2 \\sqrt { 221 }", "12 cm", "light blue", "-3", "17^\\circ"]


def test_the_verifier_and_the_court_agree_on_plain_golds(tmp_path: Path) -> None:
    """With the verifier itself: nothing is refused, and no rewriting is disputed."""
    path = tmp_path / "train.parquet"
    rows = [{"data_source": "geometry3k", "reward_model": {"ground_truth": gold}} for gold in GOLDS]
    pq.write_table(pa.Table.from_pylist(rows), path)
    result = run(path, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert disputes(tmp_path / "out") == {}
    assert "gold refused" not in (tmp_path / "out" / "report.md").read_text()


def test_the_verifier_on_a_dump(dump: Path, tmp_path: Path) -> None:
    result = run(dump, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert disputes(tmp_path / "out").get("3") is None
    assert "7 judged" in result.output
