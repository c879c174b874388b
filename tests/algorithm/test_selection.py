"""Anchors, hard negatives and the plan of one group, with ties and the random variants.

The plan is compared with the batch's selection for the default settings; this does not prove
that a caller hands both the same rows in the same order.
"""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch

from care_verl.algorithm import CareConfig, GroupPlan, plan_group

from .oracle import Row, random_rows, run


def at(*degrees: float) -> torch.Tensor:
    turn = torch.tensor([math.radians(d) for d in degrees], dtype=torch.float64)
    return torch.stack([turn.cos(), turn.sin()], dim=1)


def plan(
    acc: list[float],
    embedding: torch.Tensor,
    config: CareConfig,
    reasoned: list[bool] | None = None,
) -> GroupPlan:
    lengths = torch.ones(len(acc), dtype=torch.int64)
    told = None if reasoned is None else torch.tensor(reasoned)
    return plan_group(torch.tensor(acc), lengths, lengths, embedding, "g", config, told)


NEAR_AND_FAR = at(0, 50, 12, 11, 10, 40)
ONE_RIGHT = [1.0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("settings", "negatives"),
    [
        # Preselected 10, 11, 12, 40; from 10 the farthest of them is 40.
        ({"K": 2, "M": 4}, [4, 5]),
        # The farthest of 10, 11, 12, 40 from {10, 40} is 12 (2 from 10); 11 is 1 from 10.
        ({"K": 3, "M": 4}, [4, 2, 5]),
        ({"K": 2, "M": 1}, [4, 3]),
        ({"K": 2, "M": 6}, [4, 1]),
        ({"K": 9, "M": 1}, [4, 3, 2, 5, 1]),
        ({"K": 3, "selector": "mixed"}, [4, 3, 1]),
        ({"K": 2, "selector": "farthest"}, [5, 1]),
    ],
)
def test_selectors(settings: dict[str, Any], negatives: list[int]) -> None:
    """Rows 1 to 5 stand at 50, 12, 11, 10 and 40 degrees from the anchor; nearest come first."""
    found = plan(ONE_RIGHT, NEAR_AND_FAR, CareConfig(**settings))
    assert (found.kind, found.anchor) == ("mixed", 0)
    assert found.negatives == negatives
    assert found.source == negatives[0]


@pytest.mark.parametrize("anchor", ["shortest", "random"])
@pytest.mark.parametrize(
    ("reasoned", "expected"),
    [
        ([False, True, False], {1}),
        ([False, False, False], {0, 1}),
        ([False, True, True], {1}),
        ([True, True, True], {0, 1}),
    ],
)
def test_an_answer_without_reasoning_is_anchor_only_where_none_reasons(
    reasoned: list[bool], expected: set[int], anchor: str
) -> None:
    """Rows 0 and 1 are right and equally long, row 2 is wrong; what it reasons does not matter."""
    config = CareConfig(anchor=anchor)
    found = plan([1.0, 1.0, 0.0], at(0, 5, 90), config, reasoned)
    assert found.anchor in expected
    if anchor == "shortest":
        assert found.anchor == min(expected)


def test_reasoned_is_checked() -> None:
    with pytest.raises(ValueError, match=r"reasoned has shape \(2,\).*expected \(3,\)"):
        plan([1.0, 1.0, 0.0], at(0, 5, 90), CareConfig(), [True, False])


@pytest.mark.parametrize("hidden", [1, 64, 67])
def test_equal_embeddings_keep_row_order(hidden: int) -> None:
    """All distances tie: the nearest are the first rows, and so are the farthest-first picks."""
    one = torch.nn.functional.normalize(torch.rand(1, hidden), dim=1)
    same = one.expand(9, hidden).contiguous()
    for selector in ("nearest", "farthest", "mixed"):
        found = plan([0, 1.0] + [0] * 7, same, CareConfig(K=3, M=6, selector=selector))
        assert found.negatives == [0, 2, 3]


def test_farthest_first_tie_goes_to_the_nearer() -> None:
    """From 0 degrees, +60 and -60 tie; row 3 at -60 is nearer to the anchor at -1."""
    found = plan([1.0, 0, 0, 0], at(-1, 0, 60, -60), CareConfig(K=2, M=3))
    assert found.negatives == [1, 3]


def test_kinds_of_plans() -> None:
    right = plan([1.0, 1.0], at(0, 1), CareConfig())
    wrong = plan([0, 0.5], at(0, 1), CareConfig())
    assert right == GroupPlan("all_right", 0, [], None)
    assert wrong == GroupPlan("all_wrong", None, [], None)


def test_plan_is_what_the_batch_selects() -> None:
    rows = random_rows(seed=5, groups=40, size=8, reflect=False)
    result = run(rows, CareConfig())
    for uid in {row.uid for row in rows}:
        members = [i for i, row in enumerate(rows) if row.uid == uid]
        part = [rows[i] for i in members]
        found = plan_group(
            torch.tensor([row.acc for row in part]),
            torch.tensor([row.think_len for row in part]),
            torch.tensor([row.answer_len for row in part]),
            torch.tensor([row.embedding for row in part], dtype=torch.float64),
            uid,
            CareConfig(),
        )
        role = [result.role[i] for i in members]
        if found.kind == "mixed":
            assert role[found.anchor or 0] == "anchor"
            assert sorted(found.negatives) == [i for i, r in enumerate(role) if r == "negative"]
            assert found.source == min(
                found.negatives, key=lambda i: float(result.d_cos[members[i]])
            )


def crowd(uid: str) -> list[Row]:
    """Ten right and ten wrong rows that differ in nothing."""
    return [Row(uid, float(i < 10), float(i < 10), 1, 1, [1.0], -1.0) for i in range(20)]


def random_roles(seed: int) -> list[str]:
    config = CareConfig(anchor="random", selector="random", seed=seed)
    return run([row for uid in "abc" for row in crowd(uid)], config).role


def test_random_variants_depend_on_seed_and_uid_only() -> None:
    roles = random_roles(0)
    assert roles == random_roles(0)
    assert roles != random_roles(1)
    groups = [roles[i : i + 20] for i in (0, 20, 40)]
    assert len({tuple(group) for group in groups}) == 3
    for group in groups:
        assert group[:10].count("anchor") == 1
        assert group[10:].count("negative") == 4
    alone = run(crowd("b"), CareConfig(anchor="random", selector="random")).role
    assert alone == groups[1]


def test_random_variants_are_the_same_in_another_process() -> None:
    """Python salts its own `hash` of a string in every process; these draws must not use it."""
    code = "from care_verl.algorithm.draws import uniform_draws as u; print(u(['a', 7], 3, 0, 'p'))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": salt},
        ).stdout
        for salt in ("1", "2")
    }
    assert len(outputs) == 1


def test_random_anchors_are_uniform() -> None:
    """Of 4,000 groups with ten positives, each place is the anchor in 400, give or take 5 sigma."""
    rows = [row for uid in range(4000) for row in crowd(str(uid))[:11]]
    result = run(rows, CareConfig(anchor="random"))
    anchors = (result.role_code == 1).view(4000, 11).sum(0)[:10]
    assert (anchors - 400).abs().max() < 5 * math.sqrt(400 * 0.9)
