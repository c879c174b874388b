"""Readings, inputs and counts, with a first reading that is planted."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.common.jsonl import Malformed
from care_verl.tools.court.case import (
    BothReadings,
    Case,
    FirstReading,
    FirstVerdict,
    TagNames,
    judge,
    recorded_reading,
)
from care_verl.tools.court.counts import Counts
from care_verl.tools.court.disputes import find_disputes
from care_verl.tools.court.golds import gold_readings
from care_verl.tools.court.inputs import InputError, cases
from care_verl.tools.court.report import write_report

CASE = Case("dump.jsonl:1", "", "1/2", "virl39k")


def says(acc: float, answer: str | None) -> FirstReading:
    return lambda case: FirstVerdict(acc, answer, "planted")


def response(answer: str) -> str:
    return f"<think>so</think><answer>{answer}</answer>"


def dump(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def entry(answer: str, gold: object, **more: object) -> dict[str, object]:
    """A record as verl 0.9.1 dumps it."""
    return {"input": "?", "output": response(answer), "gts": gold, "score": 0.9, "step": 1} | more


@pytest.mark.parametrize(
    ("acc", "answer", "direction"),
    [
        (1.0, "0.5", None),
        (0.0, "0.6", None),
        (1.0, "0.6", "possible false positive"),
        (0.0, "0.5", "possible false negative"),
        (1.0, "\\int 1", None),
        (0.0, "\\int 1", None),
        (0.0, None, None),
    ],
)
def test_directions(acc: float, answer: str | None, direction: str | None) -> None:
    assert judge(CASE, says(acc, answer)).direction == direction


def test_counts() -> None:
    counts = Counts()
    for acc, answer in [(1.0, "0.5"), (1.0, "0.6"), (0.0, "0.5"), (0.0, "\\int 1"), (0.0, None)]:
        counts.add(judge(CASE, says(acc, answer)))
    total = counts.total
    assert (total.judged, total.both, total.cannot_say, total.no_answer) == (5, 3, 1, 1)
    assert (total.false_positives, total.false_negatives, total.rate) == (1, 1, 2 / 3)
    assert total.interval == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert list(counts.by_rule) == [("virl39k", "planted")]
    assert sum(counts.doubts.values()) == 1


def test_nothing_judged_has_no_rate() -> None:
    assert Counts().total.rate is None
    assert Counts().total.interval is None


def test_a_dump_is_read_line_by_line(tmp_path: Path) -> None:
    file = dump(tmp_path / "1.jsonl", entry("8", "8"), entry("9", 8), entry("9", 8.5))
    with file.open("a") as lines:
        lines.write("{broken\n\n[1]\n")
        lines.write('{"output": "8"}\n{"output": 8, "gts": "8"}\n')
        lines.write('{"output": "8", "gts": null}\n{"output": "8", "gts": true}\n')
        lines.write("[" * 100_000 + "\n")
    found = list(cases(file, {}, recorded=False))
    assert [item.gold for item in found if isinstance(item, Case)] == ["8", "8", "8.5"]
    bad = [item for item in found if isinstance(item, Malformed)]
    lines_of_bad = [int(item.where.rsplit(":", 1)[1]) for item in bad]
    assert lines_of_bad == [4, 6, 7, 8, 9, 10, 11]
    assert "no 'gts'" in bad[2].reason
    assert "output is a int" in bad[3].reason
    assert "gts is a NoneType" in bad[4].reason


def test_a_folder_is_read_by_step(tmp_path: Path) -> None:
    for step in (10, 9, 1):
        dump(tmp_path / f"{step}.jsonl", entry(str(step), "1"))
    found = [item for item in cases(tmp_path, {}, recorded=False) if isinstance(item, Case)]
    assert [item.response for item in found] == [response(step) for step in ("1", "9", "10")]
    with pytest.raises(InputError, match="neither a file nor a folder"):
        list(cases(tmp_path / "nothing", {}, recorded=False))


def test_the_given_data_source_goes_first(tmp_path: Path) -> None:
    file = dump(tmp_path / "1.jsonl", entry("8", "8", data_source="geometry3k"), entry("8", "8"))
    sources = [getattr(item, "data_source", "") for item in cases(file, {}, recorded=False)]
    assert sources == ["geometry3k", ""]
    given = cases(file, {"data_source": "chartqa"}, recorded=False)
    assert [getattr(item, "data_source", "") for item in given] == ["chartqa"] * 2


def test_recorded_verdicts(tmp_path: Path) -> None:
    file = dump(
        tmp_path / "1.jsonl",
        entry("8", "8", acc=0.0, pred="8", rule="number"),
        entry("8", "8", acc=1.0),
        entry("8", "8", acc=0.0, pred=""),
        entry("8</answer><answer>9", "8", acc=0.0),
        entry("8", "8"),
        entry("8", "8", acc=0.5),
    )
    found = list(cases(file, {}, recorded=True))
    assert [item.where[-1] for item in found if isinstance(item, Malformed)] == ["5", "6"]
    read = recorded_reading(TagNames())
    readings = [judge(item, read) for item in found if isinstance(item, Case)]
    assert [pair.first.answer for pair in readings] == ["8", "8", None, None]
    assert [pair.first.rule for pair in readings] == ["number", *["unknown"] * 3]
    assert [pair.direction for pair in readings] == ["possible false negative", None, None, None]


def prepared(path: Path, *golds: str | None) -> Path:
    rows = [
        {
            "data_source": "geometry3k",
            "images": [{"bytes": b"x"}],
            "reward_model": {"style": "rule", "ground_truth": gold},
            "extra_info": {"index": i, "choices": ["1", "2"]},
        }
        for i, gold in enumerate(golds)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_prepared_data_set_has_golds_and_options(tmp_path: Path) -> None:
    found = list(cases(prepared(tmp_path / "train.parquet", "B", None), {}, recorded=False))
    assert found[0] == Case(f"{tmp_path}/train.parquet:row 1", None, "B", "geometry3k", ("1", "2"))
    assert isinstance(found[1], Malformed)
    assert found[1].where.endswith("row 2")


def test_a_table_with_responses(tmp_path: Path) -> None:
    file = tmp_path / "answers.parquet"
    pq.write_table(pa.table({"said": [response("8")], "truth": ["8"], "acc": [0]}), file)
    keys = {"response": "said", "gold": "truth"}
    (case,) = cases(file, keys, recorded=True)
    assert isinstance(case, Case)
    assert (case.response, case.gold) == (response("8"), "8")
    assert case.recorded == FirstVerdict(0.0, None, "unknown")
    with pytest.raises(InputError, match=r"not \['reward_model'\]"):
        list(cases(file, {}, recorded=False))
    with pytest.raises(InputError, match="belongs to a response"):
        list(cases(file, {"gold": "truth"}, recorded=True))


def test_golds_are_rewritten_and_refused_ones_are_not() -> None:
    gold = Case("train.parquet:row 1", None, "1/2", "virl39k")

    def only_plain(case: Case) -> FirstVerdict:
        answer = (case.response or "").split("<answer>")[1].split("</answer>")[0]
        return FirstVerdict(float("frac" not in answer), answer, "planted")

    readings = list(gold_readings(gold, only_plain, lambda *_: None))
    assert readings[0].case.form == "itself"
    disputed = {pair.case.form: pair.direction for pair in readings if pair.direction}
    assert disputed == {"LaTeX fraction": "possible false negative"}
    refused = list(gold_readings(gold, only_plain, lambda *_: "unreadable LaTeX"))
    assert [pair.direction for pair in refused] == ["possible false negative"]
    assert refused[0].first.rule == "gold refused: unreadable LaTeX"
    unread = Case("train.parquet:row 2", None, "\\int", "virl39k")
    assert [t.direction for t in gold_readings(unread, only_plain, lambda *_: "bad")] == [None]


def test_a_hearing_leaves_its_disputes_and_a_report(tmp_path: Path) -> None:
    strange = Case("a.jsonl:2", "", "a|b\n\ud800", "chartqa")
    items = [CASE, strange, Malformed("a.jsonl:3", "no JSON")]

    def readings(case: Case) -> list[BothReadings]:
        return [judge(case, says(0.0, case.gold))]

    counts = find_disputes(iter(items), readings, tmp_path / "court")
    report = write_report(counts, "a.jsonl", tmp_path / "court").read_text()
    lines = (tmp_path / "court" / "disputes.jsonl").read_text().splitlines()
    disputes = [json.loads(line) for line in lines]
    assert [item["where"] for item in disputes] == ["dump.jsonl:1", "a.jsonl:2"]
    assert disputes[0]["direction"] == "possible false negative"
    assert disputes[0]["verifier"] == {"acc": 0.0, "rule": "planted"}
    assert disputes[1]["gold"] == "a|b\n\ud800"
    malformed = (tmp_path / "court" / "malformed.jsonl").read_text()
    assert json.loads(malformed) == {"where": "a.jsonl:3", "reason": "no JSON"}
    assert "| all | 2 | 2 | 2 = 100.00% [34.24%, 100.00%] | 0 | 2 | 0 | 0 |" in report
    assert "| chartqa / planted | 1 | 1 |" in report
    assert "a\\|b\\n\\ud800" in report
    assert "| a.jsonl:3 | no JSON |" in report
