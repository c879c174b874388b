"""Groups worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from care_verl.records.schema import ROW
from care_verl.tools.report.groups import COLUMNS, Groups, groups_of


def row(uid: str, acc: int, role: str, raw: float = 0.0, **more: Any) -> dict[str, Any]:
    return {
        "uid": uid,
        "reflected_from": -1,
        "data_source": "charts",
        "index": "5",
        "rationale": [1, 4],
        "acc": acc,
        "reward": float(acc),
        "kind": "mixed",
        "role": role,
        "k_s": 2,
        "advantage_raw": raw,
        "advantage": raw / 2,
    } | more


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([ROW.field(name) for name in COLUMNS]))


def test_by_hand() -> None:
    """a: two right originals of five, the anchor at 0.9, negatives at 0.1, 0.3 and, a failed
    reflection, 0.2: gap 0.7, variance (0.01 + 0.01 + 0) / 3. b: all right, nothing updated."""
    rows = [
        row("a", 1, "anchor", 1.5, reward=0.9, rationale=[2, 9]),
        row("b", 1, "outside", k_s=0, kind="all_right", index=None, rationale=None),
        row("a", 0, "negative", -0.7, reward=0.1),
        row("a", 1, "outside", rationale=[0, 20]),
        row("a", 0, "negative", -0.3, reward=0.3),
        row("a", 0, "outside"),
        row("a", 0, "negative", -0.5, reward=0.2, reflected_from=1, rationale=[0, 99]),
    ]
    groups = groups_of(table_of(rows), step=3)
    assert groups.step.tolist() == [3, 3]
    assert groups.prompt.tolist() == ["charts/5", ""]
    assert groups.kind.tolist() == ["mixed", "all_right"]
    assert groups.k_s.tolist() == [2, 0]
    assert groups.accuracy.tolist() == [0.4, 1.0]
    assert groups.right.tolist() == [2, 1]
    assert groups.right_length.tolist() == [27.0, 0.0]
    assert groups.second_positive.tolist() == [False, False]
    assert groups.anchor_raw[0] == 1.5
    assert groups.negative_raw[0] == pytest.approx(-0.5)
    assert groups.gap[0] == pytest.approx(0.7)
    assert groups.spread[0] == pytest.approx(0.02 / 3)
    assert groups.signal.tolist() == [1.5, 0.0]
    assert groups.failed_signal.tolist() == [0.75, 0.0]
    assert np.isnan([groups.anchor_raw[1], groups.gap[1], groups.spread[1]]).all()


def test_a_successful_reflection_is_a_second_positive() -> None:
    rows = [
        row("a", 1, "anchor"),
        row("a", 0, "negative"),
        row("a", 1, "positive", reflected_from=1),
    ]
    groups = groups_of(table_of(rows), step=1)
    assert groups.second_positive.tolist() == [True]
    assert groups.accuracy.tolist() == [0.5]


def test_rows_without_subgroups() -> None:
    """Those of GRPO-CARE."""
    none = {"role": None, "k_s": None, "advantage_raw": None}
    plain = [row("a", 1, "", advantage=0.5), row("a", 0, "", advantage=-1.5)]
    rows = [one | none for one in plain]
    groups = groups_of(table_of(rows), step=1)
    assert (groups.k_s.tolist(), groups.right.tolist()) == ([0], [1])
    assert (groups.signal.tolist(), groups.failed_signal.tolist()) == ([2.0], [1.5])
    assert np.isnan([groups.anchor_raw[0], groups.negative_raw[0], groups.gap[0]]).all()


def test_joining_and_choosing() -> None:
    parts = [groups_of(table_of([row("a", 1, "anchor")]), step) for step in (1, 2)]
    joined = Groups.joined(parts)
    assert len(joined) == 2
    assert joined.where(joined.step == 2).step.tolist() == [2]
