"""Lines, tables, page and JSON of an evaluation, from answers made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from care_verl.tools.evaluation import table
from care_verl.tools.evaluation.benchmarks import PAPER
from care_verl.tools.evaluation.lines import Line, OtherQuestionsError, Seed, gains
from care_verl.tools.evaluation.paper import paper_rows
from care_verl.tools.evaluation.report import Report, to_json
from care_verl.tools.evaluation.results import page, write

from .samples import answers, line

BASE = line("base", {"mathvista": [1, 0, 0, 0], "mmmu": [1, 0]})
CARE = line("care", {"mathvista": [1, 1, 1, 0], "mmmu": [1, 0]})


def report(*lines: Line, **given: object) -> Report:
    return Report(lines, [], {"backend": "vllm"}, **given)  # type: ignore[arg-type]


def test_a_row_of_the_table() -> None:
    """Wilson's intervals of 1 of 4 and 1 of 2; macro 37.5 ± 26.0."""
    assert table.heads(BASE) == ["", "MathVista mini", "MMMU val", "macro"]
    (row,) = table.accuracy_rows([BASE])
    assert row == ["base", "25.0 (4.6 to 69.9)", "50.0 (9.5 to 90.5)", "37.5 (11.5 to 63.5)"]


def test_one_benchmark_has_no_macro() -> None:
    one = line("x", {"embedded": [1, 0]})
    assert table.heads(one) == ["", "embedded"]
    assert len(table.accuracy_rows([one])[0]) == 2


def test_the_embedded_task_is_no_part_of_the_macro_average() -> None:
    """Section 8.3's is over the paper's benchmarks."""
    both = line("x", {"mathvista": [1, 0], "mmmu": [1, 1], "embedded": [0, 0]})
    macro = both.macro()
    assert macro is not None
    assert macro.mean == 0.75
    assert table.heads(both)[-2:] == ["embedded", "macro"]
    assert line("x", {"mathvista": [1], "embedded": [0]}).macro() is None


def test_seeds_show_how_many_they_are() -> None:
    """Accuracies 0.5 and 1: mean 0.75, half t(1)·0.25 = 3.18; far beyond 0 and 1."""
    seeds = line("x", {"embedded": [1, 0]}, {"embedded": [1, 1]})
    (row,) = table.accuracy_rows([seeds])
    assert row == ["x (2 seeds)", "75.0 (-242.7 to 392.7)"]


def test_differences_are_paired_by_question() -> None:
    """+1, +1 among four: mean 0.5, sd √(1/3), half t(3)·sd/2 = 0.9187."""
    (row,) = table.gain_rows(gains([BASE, CARE]))
    assert row[:3] == ["care – base", "+50.0 ± 91.9 (+2 −0)", "+0.0 ± 0.0 (+0 −0)"]


def test_every_line_is_compared_with_the_first() -> None:
    third = line("third", {"mathvista": [0, 0, 0, 0], "mmmu": [0, 0]})
    assert [(gain.label, gain.over) for gain in gains([BASE, CARE, third])] == [
        ("care", "base"),
        ("third", "base"),
    ]


def test_other_gold_answers_are_other_questions() -> None:
    """The data of a benchmark may have changed between two calls."""
    other = answers([1.0, 0.0])
    changed = [*other[:1], type(other[1])(**{**vars(other[1]), "gold": "9"})]
    model = BASE.seeds[0].model
    lines = [
        Line(name, (Seed(model, {"embedded": own}),))
        for name, own in (("a", other), ("b", changed))
    ]
    with pytest.raises(OtherQuestionsError, match="embedded: a and b were not asked the same"):
        gains(lines)


def test_the_papers_rows_stand_below() -> None:
    rows = table.paper_rows(BASE, paper_rows("Qwen2.5-VL-3B"))
    assert rows[0][:3] == ["Qwen2.5-VL-3B", "62.0", "46.4"]
    assert rows[-1][0] == "CARE"
    assert {row[-1] for row in rows} == {table.NOTHING}, "another average than over these two"
    six = line("x", {name: [1, 0] for name in PAPER})
    assert [row[-1] for row in table.paper_rows(six, paper_rows("Qwen2.5-VL-3B"))][-1] == "40.95"


def test_the_terminal_has_a_row_for_each_benchmark() -> None:
    six = line("x", {name: [1, 0] for name in PAPER})
    found = list(table.tables([six], [], paper_rows("Qwen2.5-VL-3B")))
    assert [one.row_count for one in found] == [7, 7, 7]
    assert [len(one.columns) for one in found] == [2, 3, 5]


def test_groups_are_for_the_breakdown() -> None:
    groups = CARE.groups("mathvista")
    assert {name: one.mean for name, one in groups.items()} == {"even": 1.0, "odd": 0.5}


def test_results_json() -> None:
    found = json.loads(json.dumps(to_json(report(BASE, CARE))))
    assert (found["format"], found["version"]) == ("care-verl evaluation", 2)
    accuracy = found["lines"][1]["benchmarks"]["mathvista"]["accuracy"]
    assert (accuracy["mean"], accuracy["count"]) == (0.75, 4)
    assert found["differences"][0]["benchmarks"]["mathvista"]["better"] == 2
    assert found["lines"][0]["models"][0]["source"] == "base-0"


def test_one_seeds_undefined_interval_is_null() -> None:
    found = to_json(report(line("x", {"embedded": [1.0]}), line("y", {"embedded": [0.0]})))
    assert found["differences"][0]["benchmarks"]["embedded"]["low"] is None
    assert found["differences"][0]["macro"] is None


def test_a_bar_in_a_cell_breaks_no_table() -> None:
    found = page(report(line("a|b", {"embedded": [1.0, 0.0]})), "f.png", "f.svg")
    assert "| a\\|b | 50.0" in found


def test_all_is_written(tmp_path: Path) -> None:
    full = Report([BASE, CARE], paper_rows("Qwen2.5-VL-7B"), {"backend": "vllm"}, ["a note"])
    written = write(full, tmp_path)
    assert [path.name for path in written] == [
        "results.json",
        "results.md",
        "results.png",
        "results.svg",
    ]
    assert all(path.stat().st_size > 0 for path in written)
    assert "- Note: a note" in (tmp_path / "results.md").read_text()


def test_the_figure_has_equal_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(report(BASE, CARE), tmp_path / name)
    for file in ("results.png", "results.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
