"""Planted faults in data files, each with the file and row that has it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig
from PIL import Image

from care_verl.tools.doctor.data_files import (
    OUR_DATASET,
    TRAIN,
    check_dataset,
    check_number,
    files_of,
    open_files,
)
from care_verl.tools.doctor.data_rows import PromptReader, check_rows, sample_of
from care_verl.tools.doctor.finding import Finding
from care_verl.tools.doctor.golds import check_golds, tags_of, verifier_scores

from .conftest import rows
from .told import all_well, the, the_error, the_warning

Completed = Callable[..., DictConfig]
Written = Callable[[list[dict[str, Any]]], Path]


def looked_at(config: DictConfig, path: Path, model: Path | None = None) -> list[Finding]:
    """All findings about the rows of a file."""
    config.data.train_files = str(path)
    (file,), problems = open_files(config, TRAIN)
    assert not problems
    sample = list(sample_of(file, 100))
    most = int(config.actor_rollout_ref.rollout.prompt_length)
    reader = PromptReader(config, model)
    filtered = bool(config.data.filter_overlong_prompts)
    findings = check_rows(sample, reader, most, filtered, path.name)
    return [*findings, *check_golds(sample, "data_source", *tags_of(config), path.name)]


def test_sound_rows(completed: Completed, written: Written, model_folder: Path) -> None:
    """The longest prompt is counted by hand of one: image tokens, chat template and question."""
    findings = looked_at(completed(), written(rows()), model_folder)
    assert all_well(findings)
    assert "48 of 48 rows looked at are sound" in findings[0].found
    assert "48 gold answers score 1" in findings[1].found


def test_the_count_is_that_of_the_processor(completed: Completed, model_folder: Path) -> None:
    from transformers import AutoProcessor

    from care_verl.data.corpora.token_count import TokenCounter

    row = rows(number=1)[0]
    size = Image.open(io.BytesIO(row["images"][0]["bytes"])).size
    expected = TokenCounter(str(model_folder)).count(row["prompt"][0]["content"], [size[::-1]])
    assert PromptReader(completed(), model_folder).tokens(row) == expected
    assert AutoProcessor.from_pretrained(model_folder).image_token_id is not None


def test_a_missing_file(completed: Completed, tmp_path: Path) -> None:
    config = completed(f"data.train_files={tmp_path / 'nowhere.parquet'}")
    files, findings = open_files(config, TRAIN)
    assert files == []
    assert the_error(findings, "nowhere.parquet does not exist").change.startswith("set data.train")


def test_a_missing_column(completed: Completed, written: Written) -> None:
    path = written(rows())
    pq.write_table(pq.read_table(path).rename_columns(["source", *RL_REST]), path)
    _, findings = open_files(completed(f"data.train_files={path}"), TRAIN)
    assert "data.reward_fn_key" in the_error(findings, "column data_source missing").change


RL_REST = ["prompt", "images", "reward_model", "extra_info"]


def test_a_damaged_file(completed: Completed, tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    _, findings = open_files(completed(f"data.train_files={path}"), TRAIN)
    assert "damaged" in the_error(findings, "cut.parquet").found


def test_fewer_rows_than_a_step(completed: Completed, written: Written) -> None:
    config = completed(f"data.train_files={written(rows(number=5))}")
    findings = check_number(config, open_files(config, TRAIN)[0])
    assert "data.train_batch_size to 5" in the_error(findings, "5 rows").change


def test_an_image_that_does_not_open(completed: Completed, written: Written) -> None:
    items = rows()
    items[7]["images"] = [{"bytes": items[7]["images"][0]["bytes"][:60]}]
    finding = the_error(looked_at(completed(), written(items)), "row 7", "cannot be decoded")
    assert "drop or mend the row" in finding.change


@pytest.mark.parametrize(("content", "number"), [("<image><image>what?", 2), ("what?", 0)])
def test_placeholders_that_are_not_the_images(
    completed: Completed, written: Written, content: str, number: int
) -> None:
    items = rows()
    items[3]["prompt"][0]["content"] = content
    the_error(looked_at(completed(), written(items)), "row 3", f"{number} placeholders", "1 images")


def test_rows_for_an_agent_with_tools(completed: Completed) -> None:
    row = {**rows()[0], "extra_info": {"tools_kwargs": {"calculator": {"create_kwargs": {}}}}}
    problem = PromptReader(completed(), None).problem(row)
    assert problem is not None
    assert problem.startswith("tools_kwargs for calculator, but rows of")
    other = completed("algorithm.adv_estimator=grpo")
    assert PromptReader(other, None).problem(row) is None


def test_many_broken_rows_are_counted_after_the_third(
    completed: Completed, written: Written
) -> None:
    items = rows()
    for item in items[:10]:
        item["prompt"][0]["content"] = "what?"
    findings = looked_at(completed(), written(items))
    the_error(findings, "row 2", "(and 7 more rows)")
    assert not [each for each in findings if "row 3:" in each.found]


def test_a_prompt_that_is_too_long(
    completed: Completed, written: Written, model_folder: Path
) -> None:
    items = rows()
    items[11]["prompt"][0]["content"] += " please" * 100
    path = written(items)
    finding = the_error(looked_at(completed(), path, model_folder), "row 11", "longer than 64")
    assert "data.max_prompt_length=" in finding.change
    filtered = completed("data.filter_overlong_prompts=True")
    the_warning(looked_at(filtered, path, model_folder), "verl leaves them out")


def test_without_a_model_tokens_are_said_not_to_be_counted(
    completed: Completed, written: Written
) -> None:
    assert "tokens are not counted" in looked_at(completed(), written(rows()))[0].found


@pytest.mark.parametrize(
    ("gold", "why"), [("", "empty"), (r"\frac{1}{", "unbalanced"), (r"\frac{}{}", "LaTeX")]
)
def test_a_gold_that_cannot_be_read(
    completed: Completed, written: Written, gold: str, why: str
) -> None:
    items = rows()
    items[5]["reward_model"]["ground_truth"] = gold
    finding = the_error(looked_at(completed(), written(items)), "row 5", why)
    assert "correct or drop the row" in finding.change


def test_a_gold_is_asked_for_between_the_runs_own_tags(
    completed: Completed, written: Written
) -> None:
    config = completed("++algorithm.care.regions.think_tag=reasoning")
    assert tags_of(config) == ("reasoning", "answer")
    assert all_well(looked_at(config, written(rows())))


def test_another_reward_is_not_judged(completed: Completed) -> None:
    assert verifier_scores(completed())
    other = completed("reward.reward_manager.name=naive", "algorithm.adv_estimator=grpo")
    assert not verifier_scores(other)


def test_a_sample_is_spread_over_the_file(completed: Completed, written: Written) -> None:
    config = completed(f"data.train_files={written(rows())}")
    (file,), _ = open_files(config, TRAIN)
    places = [where.rpartition(" ")[2] for where, _ in sample_of(file, 4)]
    assert places == ["0", "12", "24", "36"]
    assert len(list(sample_of(file, 500))) == 48


def test_a_file_of_another_kind_is_not_looked_into(completed: Completed, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    _, findings = open_files(completed(f"data.train_files={path}"), TRAIN)
    assert "not looked at" in the_warning(findings, "rows.jsonl").found


def test_images_need_a_column_only_where_prompts_have_placeholders(
    completed: Completed, written: Written, model_folder: Path
) -> None:
    items = [{**item, "images": None} for item in rows()]
    for item in items:
        item["prompt"][0]["content"] = "How much is 2 plus 3?"
    path = written(items)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["images"]), path)
    assert isinstance(table, pa.Table)
    findings = looked_at(completed(), path, model_folder)
    assert all_well(findings)
    the(findings[0].level, findings, "the longest prompt")


def test_a_dataset_of_the_users_own_is_told(completed: Completed) -> None:
    assert completed().data.custom_cls.path == OUR_DATASET
    assert check_dataset(completed()) == []
    own = completed("data.custom_cls.path=/x/data.py", "data.custom_cls.name=Mine")
    assert "/x/data.py" in the_warning(check_dataset(own)).found


def test_what_verl_fetches_first_is_not_looked_for(completed: Completed) -> None:
    config = completed("data.train_files=[hdfs://cluster/a.parquet,/x/b.parquet]")
    assert files_of(config, TRAIN) == [Path("/x/b.parquet")]
