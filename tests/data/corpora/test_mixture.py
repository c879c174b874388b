"""The mixture: what stays of several corpora, in which order, and what the report says."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from care_verl.data.corpora.cached_rows import parquet_rows, tables, write_parquet
from care_verl.data.corpora.leakage import EvaluationColumns
from care_verl.data.corpora.mixture import NEAR_DISTANCE, MixtureSettings, prepare_mixture
from care_verl.data.corpora.mixture_report import LEAKED, MixtureReport
from care_verl.data.corpora.schema import RL_SCHEMA
from care_verl.tools.cli import app

from .samples import drawing, encoded, retouched, rl_row, write_corpus


def corpus(folder: Path, source: str, rows: list[dict[str, Any]]) -> Path:
    return write_corpus(folder / source, [{**row, "data_source": source} for row in rows])


def plain(source: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        rl_row(encoded(drawing(first + n)), f"What is {n}?", str(n), source_id=f"{source}/{n}")
        for n in range(count)
    ]


def rows_of(path: Path) -> list[dict[str, Any]]:
    table = pq.read_table(path)
    assert table.schema.equals(RL_SCHEMA)
    return table.to_pylist()


def ids(path: Path) -> list[str]:
    return [row["extra_info"]["source_id"] for row in rows_of(path)]


@pytest.fixture(scope="module")
def two_corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """a: 30 rows. b: 30 others, a copy of a/3, a/4 in JPEG, a/5 with another gold, a/6 edited."""
    folder = tmp_path_factory.mktemp("corpora")
    a = plain("a", 30)
    b = plain("b", 30, first=100)
    b += [
        rl_row(encoded(drawing(3)), " what is 3 ", "3.0", source_id="b/copy"),
        rl_row(encoded(drawing(4), "JPEG"), "What is 4?", "4", source_id="b/jpeg"),
        rl_row(encoded(drawing(5)), "What is 5?", "55", source_id="b/contradicts"),
        rl_row(encoded(retouched(6)), "What is 6?", "66", source_id="b/alike"),
        rl_row(encoded(drawing(7)), "Something else?", "7", source_id="b/asks"),
    ]
    return [corpus(folder, "a", a), corpus(folder, "b", b)]


def test_the_mixture_holds_each_row_once_and_says_what_is_gone(
    two_corpora: list[Path], tmp_path: Path
) -> None:
    report = prepare_mixture(two_corpora, tmp_path / "out", MixtureSettings())
    expected = {f"{s}/{n}" for s in "ab" for n in range(30)} | {"b/alike", "b/asks"}
    found = ids(tmp_path / "out" / "train.parquet")
    assert Counter(found) == Counter(expected - {"a/5"})
    assert not (tmp_path / "out" / "test.parquet").exists()
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").open()]
    assert [(d["source_id"], d["reason"], d["other"]["source_id"]) for d in dropped] == [
        ("a/5", "conflicting golds", "b/contradicts"),
        ("b/copy", "exact duplicate", "a/3"),
        ("b/jpeg", "near duplicate", "a/4"),
        ("b/contradicts", "conflicting golds", "a/5"),
    ]
    assert dropped[3]["row"] == 32
    (alike,) = report.alike_with_other_gold
    assert (alike["source_id"], alike["gold"], alike["other"]["source_id"]) == (
        "b/alike",
        "66",
        "a/6",
    )
    assert 0 < alike["bits"] <= NEAR_DISTANCE
    for source in report.sources.values():
        assert source.rows == sum(source.dropped.values()) + source.train + source.test
    assert report.sources["b"].dropped == {
        "exact duplicate": 1,
        "conflicting golds": 1,
        "near duplicate": 1,
        LEAKED: 0,
    }


def test_the_corpus_named_first_keeps_its_rows(two_corpora: list[Path], tmp_path: Path) -> None:
    prepare_mixture(two_corpora[::-1], tmp_path / "out", MixtureSettings())
    found = set(ids(tmp_path / "out" / "train.parquet"))
    assert {"b/copy", "b/jpeg"} < found
    assert not {"a/3", "a/4"} & found


def test_rows_are_those_of_the_sources_renumbered(two_corpora: list[Path], tmp_path: Path) -> None:
    prepare_mixture(two_corpora, tmp_path / "out", MixtureSettings(holdout=9))
    sources = {
        row["extra_info"]["source_id"]: row
        for f in two_corpora
        for row in rows_of(f / "train.parquet")
    }
    for name in ("train", "test"):
        rows = rows_of(tmp_path / "out" / f"{name}.parquet")
        assert [row["extra_info"].pop("index") for row in rows] == list(range(len(rows)))
        assert {row["extra_info"].pop("split") for row in rows} == {name}
        for row in rows:
            source = sources[row["extra_info"]["source_id"]]
            kept = {k: v for k, v in source["extra_info"].items() if k not in ("index", "split")}
            assert row == {**source, "extra_info": kept}


def test_the_same_seed_gives_the_same_bytes(two_corpora: list[Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare_mixture(two_corpora, tmp_path / name, MixtureSettings(holdout=6))
    for file in ("train.parquet", "test.parquet", "report.json", "report.md", "dropped.jsonl"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_rows_are_shuffled_by_the_seed(two_corpora: list[Path], tmp_path: Path) -> None:
    orders = []
    for seed in (0, 1):
        prepare_mixture(two_corpora, tmp_path / str(seed), MixtureSettings(seed=seed))
        orders.append(ids(tmp_path / str(seed) / "train.parquet"))
    in_the_sources = [name for f in two_corpora for name in ids(f / "train.parquet")]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    assert orders[0] != [name for name in in_the_sources if name in orders[0]]
    # Rows of both corpora come among the first and among the last.
    assert (
        {name[0] for name in orders[0][:15]} == {name[0] for name in orders[0][-15:]} == {"a", "b"}
    )


def test_few_rows_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file of 48 MB, written in another order: what pyarrow holds beside the mapped files."""
    count, noise = 2400, random.Random(0)
    rows = [rl_row(noise.randbytes(20_000), "?", "1", source_id=str(n)) for n in range(count)]
    path = corpus(tmp_path, "a", rows) / "train.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=128)
    del rows
    before, most = pa.total_allocated_bytes(), 0
    order = np.random.default_rng(0).permutation(count)
    opened = parquet_rows(path, RL_SCHEMA.names, tmp_path / "cache")

    def watched() -> Iterator[pa.Table]:
        nonlocal most
        for table in tables(opened, order):
            most = max(most, pa.total_allocated_bytes() - before)
            yield table

    write_parquet(tmp_path / "out.parquet", watched(), RL_SCHEMA)
    assert most < 15_000_000
    written = pq.read_table(tmp_path / "out.parquet").column("extra_info").to_pylist()
    assert [int(info["source_id"]) for info in written] == order.tolist()


def test_held_out_rows_share_no_image_with_training_and_come_from_each_source(
    tmp_path: Path,
) -> None:
    """Each image is asked about three times, once in another encoding."""
    folders = []
    for source, images in (("a", 24), ("b", 12)):
        rows = [
            rl_row(
                encoded(drawing(hash_ + 1000 * ord(source)), form),
                f"What is {n}?",
                "1",
                source_id=f"{hash_}/{n}",
            )
            for hash_ in range(images)
            for n, form in enumerate(("PNG", "PNG", "JPEG"))
        ]
        folders.append(corpus(tmp_path, source, rows))
    prepare_mixture(folders, tmp_path / "out", MixtureSettings(holdout=18))
    train = rows_of(tmp_path / "out" / "train.parquet")
    test = rows_of(tmp_path / "out" / "test.parquet")
    assert Counter(row["data_source"] for row in test) == {"a": 12, "b": 6}
    assert len(train) + len(test) == 108

    def images(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
        return {(r["data_source"], r["extra_info"]["source_id"].split("/")[0]) for r in rows}

    assert not images(train) & images(test)


def test_rows_of_an_evaluation_set_are_dropped_when_image_and_question_agree(
    tmp_path: Path,
) -> None:
    folder = corpus(tmp_path, "a", plain("a", 6))
    evaluation = tmp_path / "eval.parquet"
    cells = [
        {"question": "<image>\nWhat is 2 ?", "image": {"bytes": encoded(drawing(2), "JPEG")}},
        {"question": "And this?", "image": {"bytes": encoded(drawing(4))}},
        {"question": "What is 5?", "image": {"bytes": encoded(drawing(77))}},
    ]
    pq.write_table(pa.Table.from_pylist(cells), evaluation)
    out = tmp_path / "out"
    report = prepare_mixture([folder], out, MixtureSettings(), [evaluation])
    assert sorted(ids(out / "train.parquet")) == ["a/0", "a/1", "a/3", "a/4", "a/5"]
    (entry,) = map(json.loads, (out / "dropped.jsonl").open())
    assert (entry["source_id"], entry["reason"]) == ("a/2", LEAKED)
    assert entry["other"] == {"file": str(evaluation), "row": 0}
    (counts,) = report.evaluation
    assert (counts.rows, counts.dropped, counts.shared_image) == (3, 1, 1)
    assert [pair["source_id"] for pair in report.shared_images] == ["a/4"]
    assert f"| {evaluation} | 3 | 1 | 1 |" in (out / "report.md").read_text()


def test_the_report_shows_the_counts_beside_the_papers(tmp_path: Path) -> None:
    folders = [corpus(tmp_path, "chartqa", plain("c", 3)), corpus(tmp_path, "own", plain("o", 3))]
    prepare_mixture(folders, tmp_path / "out", MixtureSettings())
    text = (tmp_path / "out" / "report.md").read_text()
    # All of own's rows are copies of chartqa's.
    assert "| chartqa | 3 | 7,398 | 0 | 0 | 0 | 0 | 3 | 0 |" in text
    assert "| own | 3 | – | 3 | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| all | 6 | – | 3 | 0 | 0 | 0 | 3 | 0 |" in text
    assert "48,369" in text
    assert "49.3K" in text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["sources"]["chartqa"]["paper"] == 7398
    assert report["settings"]["near_distance"] == NEAR_DISTANCE


def test_an_interrupted_run_leaves_nothing_under_the_final_name(
    two_corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: MixtureReport) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MixtureReport, "to_markdown", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare_mixture(two_corpora, tmp_path / "out", MixtureSettings())
    assert not (tmp_path / "out").exists()
    prepare_mixture(two_corpora, tmp_path / "out", MixtureSettings())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dropped.jsonl",
        "report.json",
        "report.md",
        "train.parquet",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_exists_is_left_alone(two_corpora: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists"):
        prepare_mixture(two_corpora, tmp_path, MixtureSettings())


def test_a_folder_without_training_rows_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing has no train\.parquet"):
        prepare_mixture([tmp_path / "nothing"], tmp_path / "out", MixtureSettings())


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = corpus(tmp_path, "a", plain("a", 1))
    path = folder / "train.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["reward_model"]), path)
    with pytest.raises(ValueError, match=r"missing column reward_model\. It has data_source, prom"):
        prepare_mixture([folder], tmp_path / "out", MixtureSettings())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = corpus(tmp_path, "a", plain("a", 1))
    path = folder / "train.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"a/train\.parquet is no whole parquet file"):
        prepare_mixture([folder], tmp_path / "out", MixtureSettings())


def test_an_image_that_does_not_open_is_named_by_file_and_row(tmp_path: Path) -> None:
    rows = plain("a", 3)
    rows[2]["images"][0]["bytes"] = rows[2]["images"][0]["bytes"][:200]
    folder = corpus(tmp_path, "a", rows)
    with pytest.raises(ValueError, match=r"a/train\.parquet, row 2: image 0 does not open"):
        prepare_mixture([folder], tmp_path / "out", MixtureSettings())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings", [{"near_distance": 65}, {"near_distance": -1}, {"holdout": -1}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} = .*expected 0"):
        MixtureSettings(**settings)


def test_more_rows_than_there_are_cannot_be_held_out(tmp_path: Path) -> None:
    folder = corpus(tmp_path, "a", plain("a", 4))
    with pytest.raises(ValueError, match="--holdout 4: expected fewer than the 4 rows"):
        prepare_mixture([folder], tmp_path / "out", MixtureSettings(holdout=4))


def test_columns_of_evaluation_files_can_be_named(tmp_path: Path) -> None:
    folder = corpus(tmp_path, "a", plain("a", 2))
    evaluation = tmp_path / "eval.parquet"
    cells = [{"text": "What is 1?", "picture": encoded(drawing(1))}]
    pq.write_table(pa.Table.from_pylist(cells), evaluation)
    columns = EvaluationColumns(image="picture", question="text")
    prepare_mixture([folder], tmp_path / "out", MixtureSettings(), [evaluation], columns)
    assert ids(tmp_path / "out" / "train.parquet") == ["a/0"]


def test_the_command(two_corpora: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["data", "prepare", "mixture", *map(str, two_corpora), "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--holdout", "5", "--seed", "3"])
    assert result.exit_code == 0, result.output
    cells = [line.strip("│ ").split() for line in result.output.splitlines()]
    assert ["near", "duplicate", "│", "0", "│", "1", "│", "1"] in cells
    assert pq.read_metadata(out / "test.parquet").num_rows == 5
    expected = tmp_path / "expected"
    prepare_mixture(two_corpora, expected, MixtureSettings(holdout=5, seed=3))
    assert (out / "train.parquet").read_bytes() == (expected / "train.parquet").read_bytes()
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "exists" in result.stderr


def test_the_commands_distance_is_the_librarys() -> None:
    command: Any = get_command(app)
    for name in ("data", "prepare", "mixture"):
        command = command.commands[name]
    defaults = {option.name: option.default for option in command.params}
    assert defaults["near_distance"] == NEAR_DISTANCE
