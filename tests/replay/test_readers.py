"""Each published form is read; what is malformed is told with its place and left out.

TRL's and ms-swift's files are written here as their trainers write them; that those still do is
not shown. verl's are also written by verl.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.grammar import TagSpec
from care_verl.tools.replay.readers import detected, read
from care_verl.tools.replay.rollouts import Dump, Reading, ReplayError
from care_verl.tools.replay.texts import measured, pieces_of
from tests.records.samples import write_sample_run
from tests.replay import dumps

READING = Reading()


def reasons(dump: Dump) -> dict[str, str]:
    """What was left out: reason by the file's name with the place behind it."""
    return {item.where.rsplit("/", 1)[-1]: item.reason for item in dump.malformed}


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (dumps.verl_v1, "verl"),
        (dumps.verl_ray, "verl"),
        (dumps.trl, "trl"),
        (lambda folder: dumps.swift(folder, dumps.swift_table()), "swift"),
        (dumps.swift_ray, "swift"),
    ],
)
def test_forms_hold_the_same_groups(tmp_path: Path, write: Any, name: str) -> None:
    file = write(tmp_path / "dump")
    for path in (file, file.parent):
        assert detected(path) == name
        dump = read(path, "auto", READING)
        assert dump.malformed == []
        assert [row.acc for row in dump.rollouts] == [1, 0, 0, 0, 0, 0]
        assert [row.think_len for row in dump.rollouts] == [5, 5, 5, 6, 2, 5]
        assert [row.answer_len for row in dump.rollouts] == [1] * 6
        assert dump.rollouts[0].rationale == "two and two make four"
        groups = [row.group for row in dump.rollouts]
        assert len(set(groups)) == 2
        assert groups[:3] == [groups[0]] * 3


def test_rewards_are_added_up_and_extras_are_not(tmp_path: Path) -> None:
    dumps.trl(tmp_path)
    dumps.swift(tmp_path / "swift", dumps.swift_table())
    for path in (tmp_path, tmp_path / "swift"):
        dump = read(path, "auto", READING)
        assert [row.reward for row in dump.rollouts] == [2, 1, 1, 1, 1, 1]
        assert [row.advantage for row in dump.rollouts][:2] == [1.15, -0.58]


def test_a_named_reward_is_the_only_one(tmp_path: Path) -> None:
    dumps.trl(tmp_path)
    dump = read(tmp_path, "auto", Reading(reward_columns=("accuracy_reward",)))
    assert [row.reward for row in dump.rollouts] == [1, 0, 0, 0, 0, 0]


def test_a_reward_that_does_not_apply_counts_as_nothing(tmp_path: Path) -> None:
    dumps.trl(tmp_path, format_reward=[np.nan, None, 1.0, 1.0, 1.0, 1.0])
    dump = read(tmp_path, "auto", READING)
    assert [row.reward for row in dump.rollouts] == [1, 0, 1, 1, 1, 1]


def test_the_verifier_judges_against_a_gold_column(tmp_path: Path) -> None:
    dumps.verl_v1(tmp_path)
    dump = read(tmp_path, "auto", Reading(gold_column="gts"))
    assert [row.acc for row in dump.rollouts] == [1, 0, 0, 0, 0, 0]
    assert "Accuracy: the verifier's, against gts." in dump.notes


def test_shaped_rewards_say_nothing_about_accuracy(tmp_path: Path) -> None:
    file = dumps.verl_v1(tmp_path)
    file.write_text(file.read_text().replace('"score": 1.0', '"score": 0.9'))
    with pytest.raises(ReplayError, match=r"--acc-column.*Columns: gts, input, output, score"):
        read(tmp_path, "auto", READING)


def test_malformed_lines_of_verl(tmp_path: Path) -> None:
    good = dumps.verl_ray(tmp_path).read_text().splitlines()
    row = json.loads(good[0])
    bad = [
        "{no json",
        "[1]",
        json.dumps({**row, "output": 3}),
        json.dumps({key: value for key, value in row.items() if key != "input"}),
        json.dumps({**row, "score": float("nan")}),
        json.dumps({**row, "score": float("inf")}),
        json.dumps({**row, "score": "high"}),
        json.dumps({**row, "acc": 2}),
        json.dumps({**row, "acc": None}),
        json.dumps({**row, "step": None}),
        json.dumps({**row, "input": "alone"}),
    ]
    (tmp_path / "1.jsonl").write_bytes(
        "\n".join([*good, *bad, ""]).encode() + b'{"input": "\xff"}\n'
    )
    dump = read(tmp_path, "auto", READING)
    assert [row.where for row in dump.rollouts] == [f"{tmp_path}/1.jsonl:{i}" for i in range(1, 7)]
    found = reasons(dump)
    assert found["1.jsonl:7"].startswith("no JSON: ")
    assert found["1.jsonl:8"] == "a JSON list, expected an object"
    assert found["1.jsonl:9"] == "output is a int, expected a text"
    assert found["1.jsonl:10"].startswith("no 'input' among ['acc', ")
    assert found["1.jsonl:11"] == "no reward: score is null or NaN"
    assert found["1.jsonl:12"] == "score is inf, expected a finite number"
    assert found["1.jsonl:13"] == "score is a str, expected a number"
    assert found["1.jsonl:14"] == "acc is 2, expected 0 to 1"
    assert found["1.jsonl:15"] == "acc is a NoneType, expected a number"
    assert found["1.jsonl:16"] == "step is None, expected an integer"
    assert found["1.jsonl:17"] == "the only usable rollout of its group"
    assert found["1.jsonl:18"].startswith("no JSON: ")
    assert len(found) == 12


def test_what_verl_itself_writes_is_read(tmp_path: Path) -> None:
    """The function that both trainers of verl write their dumps with, on columns as they pass."""
    from verl.trainer.ppo.ray_trainer import RayPPOTrainer
    from verl.trainer.ppo.v1.trainer_base import PPOTrainer

    prompts, golds, responses, accs, _ = map(list, zip(*dumps.ROWS, strict=True))
    extras = {"v1": {"uid": [f"g{i // 3}_{i}_0" for i in range(6)]}, "ray": {"acc": accs}}
    for name, trainer in (("v1", PPOTrainer), ("ray", RayPPOTrainer)):
        folder = str(tmp_path / name)
        trainer._write_generations(prompts, responses, golds, accs, extras[name], folder, 7)
        dump = read(tmp_path / name, "auto", READING)
        assert dump.malformed == []
        assert [row.acc for row in dump.rollouts] == accs
        assert len({row.group for row in dump.rollouts}) == 2


def test_steps_of_verl_are_apart_and_sessions_end_with_their_last_output(tmp_path: Path) -> None:
    for step in (2, 10):
        dumps.verl_v1(tmp_path, step)
    row = json.loads((tmp_path / "2.jsonl").read_text().splitlines()[0])
    with (tmp_path / "2.jsonl").open("a") as file:
        file.write(json.dumps({**row, "uid": "p0_0_1", "score": 0.0}) + "\n")
    dump = read(tmp_path, "auto", READING)
    assert len({row.group for row in dump.rollouts}) == 4
    assert reasons(dump) == {"2.jsonl:1": "not the last output of its session"}
    first = [row.acc for row in dump.rollouts if row.group == dump.rollouts[0].group]
    assert sorted(first) == [0, 0, 0]


def test_malformed_files_and_rows_of_trl(tmp_path: Path) -> None:
    good = dumps.trl(tmp_path, 1)
    dumps.trl(tmp_path, 2, completion=[None, *(row[2] for row in dumps.ROWS[1:])])
    (tmp_path / "completions_00003.parquet").write_bytes(good.read_bytes()[:200])
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "completions_00004.parquet")
    dump = read(tmp_path, "auto", READING)
    assert len(dump.rollouts) == 11
    found = reasons(dump)
    assert found["completions_00002.parquet:row 1"] == "completion is a NoneType, expected a text"
    assert found["completions_00003.parquet"].startswith("no Parquet: ")
    assert found["completions_00004.parquet"] == "no column step, completion"
    assert len(found) == 3


def test_a_generation_that_is_logged_again_is_read_once(tmp_path: Path) -> None:
    other = [row[2].replace("two", "2") for row in dumps.ROWS]
    for step, changed in ((1, {}), (2, {}), (3, {"completion": other})):
        dumps.trl(tmp_path, step, **changed)
    lines = [dumps.swift_table(1), dumps.swift_table(2), dumps.swift_table(3, completion=other)]
    dumps.swift(tmp_path / "swift", *lines)
    for path, place in ((tmp_path, "_00002.parquet"), (tmp_path / "swift", ".jsonl:2")):
        dump = read(path, "auto", READING)
        assert len(dump.rollouts) == 12
        assert len(dump.malformed) == 6
        assert f"{place} repeats the one logged before it" in dump.malformed[0].reason


def test_malformed_lines_of_swift(tmp_path: Path) -> None:
    table = dumps.swift_table(2)
    mixed = dumps.swift_table(3, MathAccuracy=[1.0, "x", 0.0, 0.0, None, 0.0])
    dumps.swift(
        tmp_path,
        dumps.swift_table(1),
        {**table, "prompt": table["prompt"][:2]},
        {name: value for name, value in table.items() if name != "prompt"},
        mixed,
    )
    dump = read(tmp_path, "auto", READING)
    assert len(dump.rollouts) == 10
    found = reasons(dump)
    assert found["completions.jsonl:2"].startswith("columns of different lengths: step 6, prompt 2")
    assert found["completions.jsonl:3[0]"].startswith("no 'prompt' among")
    assert found["completions.jsonl:4[1]"] == "MathAccuracy is a str, expected a number"
    assert found["completions.jsonl:4[4]"] == "MathAccuracy is a NoneType, expected a number"
    assert len(found) == 1 + 6 + 2


def test_malformed_steps_of_a_record(tmp_path: Path) -> None:
    write_sample_run(tmp_path, steps=3, groups=2)
    whole = tmp_path / "step_000001.parquet"
    (tmp_path / "step_000002.parquet").write_bytes(whole.read_bytes()[:-20])
    table = pq.read_table(tmp_path / "step_000003.parquet")
    acc = table.schema.get_field_index("acc")
    changed = [0.5, *table["acc"].to_pylist()[1:]]
    broken = table.set_column(acc, table.schema.field(acc), pa.array(changed, pa.float32()))
    pq.write_table(broken, tmp_path / "step_000003.parquet")
    dump = read(tmp_path, "auto", READING)
    found = reasons(dump)
    assert found["step_000002.parquet"].startswith("no step of a record: ")
    assert found["step_000003.parquet:row 1"] == "acc is 0.5, expected 0 or 1"
    files = {Path(row.where.split(":")[0]).name for row in dump.rollouts}
    assert files == {"step_000001.parquet", "step_000003.parquet"}


def test_steps_that_a_later_start_writes_anew_are_left_out(tmp_path: Path) -> None:
    write_sample_run(tmp_path, steps=3, groups=2)
    start = pq.read_table(tmp_path / "run_001.parquet")
    first = start.schema.get_field_index("first_step")
    later = start.set_column(first, start.schema.field(first), pa.array([3], pa.int32()))
    pq.write_table(later, tmp_path / "run_002.parquet")
    dump = read(tmp_path, "auto", READING)
    reason = "a later start of the run went back behind it"
    assert reasons(dump) == {"step_000003.parquet": reason}


def test_what_fits_no_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ReplayError, match=r"of no known format; .* Known are care: folder of step"):
        detected(tmp_path / "notes.jsonl")
    dumps.verl_v1(tmp_path)
    dumps.swift(tmp_path, dumps.swift_table())
    with pytest.raises(ReplayError, match=r"fits verl and swift"):
        detected(tmp_path)
    assert len(read(tmp_path, "swift", READING).rollouts) == 6


def test_tags_are_pieces_of_their_own_and_nothing_is_lost() -> None:
    response = "<think>\nThe bar  is <b>4</think> so\n<answer>4</answer>\n"
    pieces = pieces_of(response, TagSpec())
    assert b"".join(pieces) == response.encode().replace(b"so\n", b"so").rstrip()
    assert [piece for piece in pieces if b"think" in piece] == [b"<think>", b"</think>"]
    found = measured(response, TagSpec(), prefilled=False)
    assert (found.length, found.think_len, found.answer_len) == (10, 4, 1)
    assert found.rationale == "The bar  is <b>4"
    assert measured("so it is</think>4", TagSpec(), prefilled=True).think_len == 3
    assert measured("\ud800 no tags", TagSpec(), prefilled=False).length == 3


def test_a_dump_of_grpo_care_has_its_likelihoods(tmp_path: Path) -> None:
    dump = read(dumps.verl_grpo_care(tmp_path).parent, "auto", READING)
    likelihoods = [row.likelihood for row in dump.rollouts]
    assert likelihoods == pytest.approx([0.8, 0.4, math.nan, 0.9], nan_ok=True)
    assert [row.advantage for row in dump.rollouts] == [0.99, 0.2, 0.2, -1.39]
    # Padding has no accuracy.
    (left_out,) = dump.malformed
    assert left_out.reason == "acc is a NoneType, expected a number"


@pytest.mark.parametrize("value", [1.5, -0.1, "0.5"])
def test_a_likelihood_that_is_none_is_malformed(tmp_path: Path, value: Any) -> None:
    file = dumps.verl_grpo_care(tmp_path)
    first, *others = file.read_text().splitlines()
    changed = json.dumps(json.loads(first) | {"answer_likelihood": value})
    file.write_text("\n".join([changed, *others]) + "\n")
    dump = read(file, "auto", READING)
    assert len(dump.rollouts) == 3
    assert any("answer_likelihood is" in one.reason for one in dump.malformed)
