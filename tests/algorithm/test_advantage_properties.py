"""Sequence advantages against the looped reference, and the invariances they must have.

Random embeddings have no ties, so this does not prove tie-breaking by distance;
`test_selection.py` does. Nothing here measures time.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from care_verl.algorithm import CareConfig, care_advantages

from .oracle import permuted, random_rows, reference, run

SEEDS = st.integers(0, 2**32 - 1)
CONFIGS = st.builds(
    CareConfig,
    K=st.integers(1, 6),
    M=st.integers(1, 8),
    s=st.sampled_from([0.3, 0.5, 1.0]),
    equalize=st.booleans(),
    rescue=st.booleans(),
    selector=st.sampled_from(["nearest", "mixed", "farthest"]),
    normalization=st.sampled_from(["zscore", "robust"]),
    trim=st.sampled_from([0.0, 0.1, 0.25, 0.4]),
)


@settings(max_examples=150)
@given(seed=SEEDS, config=CONFIGS)
def test_equals_the_reference(seed: int, config: CareConfig) -> None:
    rows = random_rows(seed, groups=6, size=9)
    result, expected = run(rows, config), reference(rows, config)
    assert result.role == [row.role for row in expected]
    raw = torch.tensor([r.raw for r in expected])
    torch.testing.assert_close(result.raw, raw, atol=1e-6, rtol=1e-5)
    advantages = torch.tensor([r.advantage for r in expected])
    torch.testing.assert_close(result.advantage, advantages, atol=1e-6, rtol=1e-5)


@settings(max_examples=50)
@given(seed=SEEDS, config=CONFIGS)
def test_row_order_does_not_matter(seed: int, config: CareConfig) -> None:
    rows = random_rows(seed, groups=4, size=8, distinct=True)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    here, there = run(rows, config), run(permuted(rows, order), config)
    torch.testing.assert_close(there.advantage, here.advantage[order])
    torch.testing.assert_close(there.raw, here.raw[order])
    assert there.role == [here.role[i] for i in order]


@settings(max_examples=50)
@given(seed=SEEDS, config=CONFIGS)
def test_groups_do_not_see_each_other(seed: int, config: CareConfig) -> None:
    rows = random_rows(seed, groups=5, size=8)
    together = run(rows, config)
    for uid in {row.uid for row in rows}:
        order = [i for i, row in enumerate(rows) if row.uid == uid]
        alone = run(permuted(rows, order), config)
        torch.testing.assert_close(alone.advantage, together.advantage[order])
        torch.testing.assert_close(alone.d_cos, together.d_cos[order], equal_nan=True)
        assert alone.role == [together.role[i] for i in order]


def batch(groups: int, size: int, hidden: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    rows = groups * size
    acc = (torch.rand(rows, generator=generator) < 0.4).float()
    embedding = torch.randn(rows, hidden, generator=generator)
    return {
        "reward": 0.9 * acc + 0.1,
        "acc": acc,
        "uid": [i // size for i in range(rows)],
        "think_len": torch.randint(0, 500, (rows,), generator=generator),
        "answer_len": torch.randint(0, 20, (rows,), generator=generator),
        "embedding": torch.nn.functional.normalize(embedding, dim=1),
        "logp_old": -100 * torch.rand(rows, generator=generator),
        "reflected_from": torch.full((rows,), -1),
    }


def test_thousands_of_groups_in_one_call() -> None:
    """4,000 groups of 8 rows, H = 64: one call equals four calls of a quarter each."""
    inputs = batch(groups=4000, size=8, hidden=64)
    whole = care_advantages(**inputs, config=CareConfig())
    for start in range(0, 32000, 8000):
        part = slice(start, start + 8000)
        piece = care_advantages(**{k: v[part] for k, v in inputs.items()}, config=CareConfig())
        torch.testing.assert_close(piece.advantage, whole.advantage[part])
        assert piece.role == whole.role[part]
    assert whole.advantage.dtype == torch.float32
    assert len(set(whole.role)) == 3


def test_low_precision_and_gradient_free() -> None:
    """bfloat16 embeddings that require a gradient are accepted; the result has none."""
    inputs = batch(groups=3, size=4, hidden=8)
    inputs["embedding"] = inputs["embedding"].bfloat16().requires_grad_()
    assert not care_advantages(**inputs, config=CareConfig()).advantage.requires_grad


def with_value(inputs: dict[str, Any], name: str, row: int, value: float) -> dict[str, Any]:
    changed = inputs[name].clone()
    changed[row] = value
    return inputs | {name: changed}


def small() -> dict[str, Any]:
    """Group a: right, wrong, wrong. Group b: all wrong. Two rows to make reflections of."""
    inputs = batch(groups=1, size=8, hidden=4)
    acc = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
    return inputs | {"acc": acc, "reward": acc, "uid": ["a"] * 3 + ["b"] * 3 + ["a"] * 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i | {"acc": i["acc"][:-1]}, r"acc has shape \(7,\); expected \(8,\)"),
        (lambda i: i | {"embedding": i["embedding"][0]}, r"embedding has shape"),
        (lambda i: i | {"think_len": i["think_len"].float()}, "think_len has dtype torch.float32"),
        (lambda i: with_value(i, "reward", 1, torch.nan), "reward holds NaN"),
        (lambda i: with_value(i, "acc", 1, torch.nan), "acc holds NaN"),
        (lambda i: with_value(i, "acc", 1, 2.0), r"expected \[0, 1\]"),
        (lambda i: with_value(i, "embedding", 1, torch.inf), "embedding holds NaN"),
        (lambda i: with_value(i, "answer_len", 1, -1), "answer_len holds a negative"),
        (lambda i: with_value(i, "logp_old", 4, torch.nan), "logp_old holds NaN"),
        (lambda i: with_value(i, "reflected_from", 6, 8), "reflected_from reaches from -1 to 8"),
        (lambda i: with_value(i, "reflected_from", 6, -2), "reflected_from reaches from -2"),
        (lambda i: with_value(i, "reflected_from", 6, 4), "row 6 has a source with another uid"),
        (lambda i: with_value(i, "reflected_from", 6, 0), "row 6 has a source that is no failure"),
        (lambda i: with_value(i, "reflected_from", 5, 4), "row 5 stands in an all-wrong group"),
        (
            lambda i: with_value(with_value(i, "reflected_from", 6, 1), "reflected_from", 7, 2),
            "row 6 is not the only one of its group",
        ),
        (
            lambda i: with_value(with_value(i, "reflected_from", 6, 1), "reflected_from", 7, 6),
            "row 7 is made from a row that is itself a reflection",
        ),
        (lambda i: i | {"uid": torch.zeros(8)}, "uid is a tensor"),
        (lambda i: {k: v[:0] for k, v in i.items()}, "the batch has no rows"),
    ],
)
def test_refusals_say_what_is_wrong(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        care_advantages(**change(small()), config=CareConfig())


def test_logp_is_read_where_the_rescue_needs_it_only() -> None:
    """NaN log-probabilities in a mixed group, or without the rescue, are nobody's business."""
    care_advantages(**with_value(small(), "logp_old", 0, torch.nan), config=CareConfig())
    care_advantages(
        **with_value(small(), "logp_old", 4, torch.nan), config=CareConfig(rescue=False)
    )
