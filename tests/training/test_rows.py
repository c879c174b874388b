"""The rows of a step: order, reflections, advantages and metrics, by hand.

The queue is a dictionary here; verl's own is used end to end.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from transfer_queue import KVBatchMeta

from care_verl.algorithm import CareConfig
from care_verl.training.care.dropping import drop_rows, padding_rows
from care_verl.training.care.row import CareRow
from care_verl.training.care.step_rows import StepRows
from care_verl.training.fields import CARE, RGR_SKIPPED

from .samples import MemoryQueue, record, step_rows

Row = tuple[str, CareRow, Sequence[float] | None]

# d_cos to the anchor: 0.2 for session 1, 1 for session 2. The reflection on 1 succeeds.
GROUP: list[Row] = [
    ("u", record(0, 1.0), [1.0, 0.0]),
    ("u", record(1, 0.0), [0.8, 0.6]),
    ("u", record(2, 0.0), [0.0, 1.0]),
    ("u", record(3, 1.0, reflected_from=1), None),
]


@pytest.mark.parametrize("arrival", list(itertools.permutations(range(4)))[::5])
def test_advantages_do_not_depend_on_arrival(arrival: tuple[int, ...]) -> None:
    """S = {0, 2, reflection}, rewards 1, 0.1, 1: mu 0.7, sigma sqrt(0.18).

    A_raw = 0.3/sigma = 0.7071 and -1.4142, the negative halved; K = 2 and K_S = 1 make sqrt(2).
    """
    rows = step_rows([GROUP[i] for i in arrival])
    assert rows.keys == ["u_0_0", "u_1_0", "u_2_0", "u_3_0"]
    assert rows.reflected_from.tolist() == [-1, -1, -1, 1]
    assert rows.embedding[3].tolist() == [0.0, 0.0]
    advantage = rows.advantages(CareConfig(K=2)).advantage
    torch.testing.assert_close(advantage, torch.tensor([1.0, 0.0, -1.0, 1.0]), atol=1e-5, rtol=0)


def test_masks_and_tags_move_with_their_row() -> None:
    arrived = [GROUP[2], GROUP[0]]
    rows = step_rows(arrived, tags=[{"name": "two"}, {"name": "zero"}], masks=[[1, 1], [1]])
    assert [tag["name"] for tag in rows.tags] == ["zero", "two"]
    assert [len(mask) for mask in rows.masks] == [1, 2]


def test_equal_distances_are_broken_by_session_whatever_came_first() -> None:
    """Both failures are at distance 1; K = 1 keeps one, session 1, though session 10 came first."""
    rows = [
        ("u", record(10, 0.0), [0.0, 1.0]),
        ("u", record(0, 1.0), [1.0, 0.0]),
        ("u", record(1, 0.0), [0.0, 1.0]),
    ]
    found = step_rows(rows)
    assert found.keys == ["u_0_0", "u_1_0", "u_10_0"]
    assert found.advantages(CareConfig(K=1)).role == ["anchor", "negative", "outside"]


def test_sources_are_looked_up_in_their_own_group() -> None:
    other: list[Row] = [
        ("a", record(0, 1.0), [1.0, 0.0]),
        ("a", record(1, 0.0), [0.0, 1.0]),
        ("a", record(2, 0.0, reflected_from=1), None),
    ]
    rows = step_rows([*GROUP, *other])
    assert rows.uids == ["a"] * 3 + ["u"] * 4
    assert rows.reflected_from.tolist() == [-1, -1, 1, -1, -1, -1, 4]


def test_a_uid_may_hold_underscores() -> None:
    rows = step_rows([("a_1", record(0, 1.0), [1.0]), ("a_2", record(0, 0.0), [1.0])])
    assert rows.uids == ["a_1", "a_2"]


def test_rows_that_the_verifier_gave_up_on_are_counted() -> None:
    """So that a run in which that is frequent does not go unseen."""
    rules = ["number", "undecided", "unreadable gold", "undecided"]
    rows = [("u", record(i, 0.0, rule=rule), [1.0, float(i)]) for i, rule in enumerate(rules)]
    found = step_rows(rows, tags=[{"prompt_len": 1, "response_len": 1}] * 4)
    metrics = found.metrics(found.advantages(CareConfig()), CareConfig())
    assert metrics["care/verifier/undecided"] == 0.5
    assert metrics["care/verifier/unreadable_gold"] == 0.25


def test_metrics_are_over_the_originals() -> None:
    """Scores 1, 0.1, 0.1 and lengths 8, 6, 4 of the originals; the reflection has 20 tokens.

    Updated rows hold 8 + 4 + 20 of 38 tokens. The originals' 24 decoded tokens, by their masks,
    have log-probabilities that add up to -3.
    """
    tags = [{"prompt_len": 5, "response_len": n} for n in (8, 6, 4, 20)]
    tags[2][RGR_SKIPPED] = "no_room"  # type: ignore[assignment]
    rows = step_rows(GROUP, tags=tags)
    config = CareConfig(K=2)
    metrics = rows.metrics(rows.advantages(config), config)
    expected = {
        "care/acc/mean": 1 / 3,
        "care/verifier/undecided": 0.0,
        "care/verifier/unreadable_gold": 0.0,
        "critic/score/mean": 0.4,
        "critic/score/max": 1.0,
        "critic/score/min": 0.1,
        "critic/rewards/mean": 0.4,
        "response_length/mean": 6.0,
        "response_length/max": 8.0,
        "response_length/min": 4.0,
        "response_length/clip_ratio": 1 / 3,
        "prompt_length/mean": 5.0,
        "care/entropy/sampled": 3 / 24,
        "care/tokens/total": 38.0,
        "care/tokens/updated_share": 32 / 38,
        "care/rows/total": 4.0,
        "care/rows/updated": 3.0,
        "care/rgr/triggered": 1.0,
        "care/rgr/succeeded": 1.0,
        "care/rgr/skipped/no_room": 1.0,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_a_step_without_rollouts_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no rollout arrived"):
        StepRows.of([], [], [], [])


@pytest.mark.parametrize(
    ("advantage", "multiple", "chosen"),
    [
        ([1, 0, -1, 0, 0, 0], 4, [3, 5]),
        ([1, 0, -1, 0, 0, 0], 3, [3]),
        ([1, 0, -1, 0, 0, 0], 2, []),
        ([1, 0, -1, 0, 0, 0], 5, [3, 5, 1]),
        ([1, 0, -1, 0, 0, 0], 8, [3, 5, 1, 4]),
        ([0, 0, 0, 0, 0, 0], 2, [2, 3]),
        ([0, 0, 0, 0, 0, 0], 1, [2]),
    ],
)
def test_padding_is_the_shortest_dropped_rows(
    advantage: list[float], multiple: int, chosen: list[int]
) -> None:
    """Rows 1 and 4 are equally long: row order. Without any kept row one full multiple stays."""
    lengths = [9, 5, 2, 3, 5, 4]
    assert padding_rows(torch.tensor(advantage), lengths, multiple) == chosen


def filled(queue: MemoryQueue, lengths: Sequence[int]) -> tuple[KVBatchMeta, StepRows]:
    """One group of originals with these response lengths, in the queue."""
    records = [record(i, 0.0) for i in range(len(lengths))]
    rows = step_rows([("u", row, [1.0]) for row in records], masks=[[1] * n for n in lengths])
    for key, mask in zip(rows.keys, rows.masks, strict=True):
        queue.rows[key] = {"responses": mask + 6, "response_mask": mask, "loss_mask": mask}
    batch = KVBatchMeta(
        partition_id="train", keys=rows.keys, tags=rows.tags, extra_info={"temperature": 0.7}
    )
    return batch, rows


def test_rows_without_advantage_leave_the_queue(queue: MemoryQueue) -> None:
    batch, rows = filled(queue, [5, 4, 3, 2, 6])
    kept, padding = drop_rows(batch, rows, torch.tensor([1.0, 0.0, -1.0, 0.0, 0.0]), multiple=3)
    assert kept.keys == ["u_0_0", "u_2_0", "u_3_0"]
    assert [tag["is_padding"] for tag in kept.tags] == [False, False, True]
    assert kept.extra_info == {"temperature": 0.7}
    assert padding == {"u_3_0": 2}
    assert sorted(queue.rows) == ["u_0_0", "u_2_0", "u_3_0"]
    for name in ("response_mask", "loss_mask"):
        assert queue.rows["u_3_0"][name].tolist() == [0, 0]
        assert queue.rows["u_0_0"][name].tolist() == [1] * 5
    assert queue.rows["u_3_0"]["responses"].tolist() == [7, 7]


def test_too_few_dropped_rows_are_filled_up_with_copies(queue: MemoryQueue) -> None:
    """Two rows stay, one was dropped, five are wanted: two copies of the shortest, row 2."""
    batch, rows = filled(queue, [5, 4, 3])
    kept, padding = drop_rows(batch, rows, torch.tensor([1.0, 0.0, -1.0]), multiple=5)
    assert kept.keys[:3] == ["u_0_0", "u_2_0", "u_1_0"]
    assert [tag["is_padding"] for tag in kept.tags] == [False, False, True, True, True]
    assert len(set(kept.keys)) == 5
    assert padding == {"u_1_0": 4, **dict.fromkeys(kept.keys[3:], 3)}
    for key in kept.keys[3:]:
        assert queue.rows[key]["responses"].tolist() == [7, 7, 7]
        assert queue.rows[key]["response_mask"].tolist() == [0, 0, 0]
        assert queue.rows[key]["loss_mask"].tolist() == [0, 0, 0]
    assert queue.rows["u_2_0"]["response_mask"].tolist() == [1, 1, 1]


def test_a_row_without_a_record_is_an_error() -> None:
    with pytest.raises(KeyError, match=CARE):
        StepRows.of(["u_0_0"], [{}], [{}], [torch.ones(1)])
