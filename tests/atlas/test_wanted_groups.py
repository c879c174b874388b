"""The wanted groups are found, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from care_verl.records.files import RunRecord
from care_verl.records.schema import RecordError
from care_verl.tools.atlas.suspicion import Suspicion, suspicion
from care_verl.tools.atlas.wanted_groups import Choice, Wanted, choose, named
from tests.records.samples import write_consistency_run, write_sample_run

from .made import cut, readable_group, row, text, write_rows


def found(folder: Path, **wanted: Any) -> Choice:
    return choose(RunRecord.find(folder), Wanted(**wanted))


def uids(folder: Path, **wanted: Any) -> list[str]:
    return [group.uid for group in found(folder, **wanted).groups]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Step 1: a repaired, a failed and a rescued group; step 2: a skipped and a repaired one."""
    lost = {"kind": "all_wrong", "k_prime": 1, "k_s": 1}
    rescued = [
        row("s000001p00002", 0, cut(text("lost", "1")), role="anchor", d_cos=0.0, **lost),
        row("s000001p00002", 1, cut(text("gone", "2")), role="negative", d_cos=0.5, **lost),
    ]
    rescued[0] |= {"question": "Where is the KEY?", "gold": "3"}
    skipped = [row("s000002p00000", 0, cut(text("sure", "9")), acc=1.0, kind="all_right", k_s=0)]
    write_rows(
        tmp_path,
        1,
        [
            *readable_group(tmp_path, "s000001p00000"),
            *readable_group(tmp_path, "s000001p00001", succeeded=False),
            *rescued,
        ],
    )
    return write_rows(tmp_path, 2, [*skipped, *readable_group(tmp_path, "s000002p00001")])


def test_the_last_step_is_the_default(folder: Path) -> None:
    assert uids(folder) == ["s000002p00000", "s000002p00001"]
    assert uids(folder, step=1) == ["s000001p00000", "s000001p00001", "s000001p00002"]


def test_a_selection_is_over_all_steps_unless_one_is_named(folder: Path) -> None:
    assert uids(folder, repaired=True) == ["s000001p00000", "s000002p00001"]
    assert uids(folder, repaired=True, step=2) == ["s000002p00001"]
    assert uids(folder, rescued=True) == ["s000001p00002"]


def test_search_reads_question_gold_and_responses_in_any_case(folder: Path) -> None:
    assert uids(folder, search="the key?") == ["s000001p00002"]
    assert uids(folder, search="GONE") == ["s000001p00002"]
    assert uids(folder, search="19800", step=1) == ["s000001p00000", "s000001p00001"]
    assert uids(folder, search="sure") == ["s000002p00000"]


def test_what_is_asked_for_has_to_hold_together(folder: Path) -> None:
    nothing = found(folder, search="key", repaired=True)
    assert nothing.groups == []
    assert nothing.seen == {
        "mixed": 3,
        "all_wrong": 1,
        "all_right": 1,
        "rescued": 1,
        "repaired": 2,
    }


def test_the_limit_keeps_the_first_and_tells_how_many_fit(folder: Path) -> None:
    choice = found(folder, search="product", limit=2)
    assert [group.uid for group in choice.groups] == ["s000001p00000", "s000001p00001"]
    assert choice.found == 3


def test_chosen_groups_have_all_their_rows_and_columns(folder: Path) -> None:
    group = found(folder, repaired=True, step=2).groups[0]
    assert [one["session"] for one in group.rows] == list(range(7))
    assert group.rows[0]["credit"]
    assert group.prompt["gold"] == "19800"


def test_a_group_is_found_by_its_name(folder: Path) -> None:
    assert named(RunRecord.find(folder), "s000001p00002").rescued
    with pytest.raises(KeyError, match="no group"):
        named(RunRecord.find(folder), "s000009p00000")


def test_what_cannot_be_wanted_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        Wanted(limit=0)
    with pytest.raises(ValueError, match="search is blank"):
        Wanted(search=" ")
    with pytest.raises(RecordError, match="step 7 is not in"):
        found(folder, step=7)


def test_parts_of_a_group(folder: Path) -> None:
    """The source stands among the hard negatives though its repair took its place."""
    group = named(RunRecord.find(folder), "s000001p00000")
    assert group.anchor is not None
    assert group.anchor["session"] == 0
    assert [one["session"] for one in group.compared] == [1, 2, 3, 6]
    assert [one["session"] for one in group.others] == [4, 5]
    assert (group.rgr, group.skipped) == ("succeeded", False)


def test_every_row_of_a_run_stands_in_one_place(tmp_path: Path) -> None:
    record = RunRecord.find(write_sample_run(tmp_path, steps=3, groups=16, seed=3))
    groups = [group for step in (1, 2, 3) for group in choose(record, Wanted(step)).groups]
    assert {group.kind for group in groups} == {"mixed", "all_wrong", "all_right"}
    for group in groups:
        anchor = [] if group.anchor is None else [group.anchor]
        placed = [one["session"] for one in (*anchor, *group.compared, *group.others)]
        assert sorted(placed) == [one["session"] for one in group.rows]
        assert (group.anchor is None) == (group.kind == "all_right")


def test_groups_of_grpo_care_have_no_roles(tmp_path: Path) -> None:
    """All rows stand in one line, the accurate ones first, the likelier the earlier."""
    folder = write_consistency_run(tmp_path, steps=1, groups=12)
    groups = found(folder).groups
    for group in groups:
        assert (group.anchor, group.others, group.rescued, group.repaired) == (
            None,
            (),
            *[False] * 2,
        )
        assert sorted(row["session"] for row in group.compared) == list(range(8))
        accurate = [row for row in group.compared if row["accurate"]]
        assert tuple(accurate) == group.compared[: len(accurate)]
        likelihoods = [row["answer_likelihood"] for row in accurate]
        assert likelihoods == sorted(likelihoods, reverse=True)
        assert group.skipped == all(row["advantage"] == 0 for row in group.rows)
    assert len({group.skipped for group in groups}) == 2
    assert uids(folder, rescued=True) == []


def wrong(pred: str, **changes: Any) -> dict[str, Any]:
    return row("u", 0, cut(text("so", pred or "7")), pred=pred) | changes


def test_suspicion_follows_the_second_reading() -> None:
    same = suspicion(wrong("1,200"), "1200", "")
    assert same == Suspicion(1.0, "second reading: the same number")
    assert suspicion(wrong("1000005"), "1000006", "") is None, "alike, and another number"
    assert suspicion(wrong("105"), "100", "chartqa") is not None


def test_where_it_cannot_say_spelling_decides() -> None:
    likely = suspicion(wrong("blue bar"), "Blue  bars", "")
    assert likely is not None
    assert 0.8 <= likely.score < 1
    assert suspicion(wrong("bar"), "light blue bar", "") is None


def test_an_answer_that_was_not_read_is_taken_from_its_region() -> None:
    assert suspicion(wrong(""), "7", "") is not None
    assert suspicion(wrong("", pieces=None), "7", "") is None


@pytest.mark.parametrize(
    "pieces",
    [
        [b"<", b"answer", b">B", b"</", b"answer", b">"],
        [b"<answer>", b"B</", b"answer>"],
        [b"<answer>B</answer>"],
        [b"<answer", b"><", b"answer", b">B", b"</answer", b"><"],
    ],
)
def test_pieces_of_tags_are_no_part_of_an_answers_text(pieces: list[bytes]) -> None:
    given = row("u", 0, pieces, pred="")
    same = suspicion(given, "B", "")
    assert same is not None
    assert same.score == 1.0


def test_only_rows_called_wrong_are_suspected() -> None:
    assert suspicion(wrong("7", acc=1.0), "7", "") is None
    assert suspicion(wrong("7"), None, "") is None


def test_the_worst_false_negative_comes_first(tmp_path: Path) -> None:
    def group(place: int, pred: str, gold: str) -> dict[str, Any]:
        uid = f"s000001p0000{place}"
        told = {"question": "?", "gold": gold, "pred": pred}
        return row(uid, 0, cut(text("so", pred)), **told)

    write_rows(
        tmp_path,
        1,
        [
            group(0, "12", "13"),
            group(1, "blue bar", "blue bars"),
            group(2, "1,200", "1200"),
        ],
    )
    assert uids(tmp_path, worst_false_negative=True) == ["s000001p00002", "s000001p00001"]
    assert uids(tmp_path, worst_false_negative=True, limit=1) == ["s000001p00002"]
