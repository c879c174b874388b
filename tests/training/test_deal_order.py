"""Padding rows are dealt evenly over ranks' mini-batches; how verl cuts them is a contract test."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from care_verl.training.batching import deal_order


def test_one_rank_two_mini_batches_by_hand() -> None:
    """Rows 0..3 are updated, 4 and 5 padding: mini-batches (0, 2, 4) and (1, 3, 5)."""
    assert deal_order([False] * 4 + [True] * 2, ranks=1, mini_batches=2) == [0, 2, 4, 1, 3, 5]


def test_two_ranks_keep_their_own_rows() -> None:
    order = deal_order([False, True, False, False], ranks=2, mini_batches=2)
    assert order == [0, 1, 2, 3]


@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 6))
def test_updated_rows_differ_by_one_at_most(
    data: st.DataObject, ranks: int, mini_batches: int, size: int
) -> None:
    rows = ranks * mini_batches * size
    is_padding = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    order = deal_order(is_padding, ranks, mini_batches)
    assert sorted(order) == list(range(rows))
    share = rows // ranks
    for rank in range(ranks):
        mine = order[rank * share : (rank + 1) * share]
        assert all(rank * share <= row < (rank + 1) * share for row in mine)
        counts = [
            sum(not is_padding[row] for row in mine[start : start + size])
            for start in range(0, share, size)
        ]
        assert max(counts) - min(counts) <= 1
