"""Where rows lie in each cut: every row of S* once, what fills up around it never counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from care_verl.tools.certificate.certified_rows import choose, counts
from care_verl.tools.certificate.cuts import CUTS, Cut, Part, place

from .samples import row, step, trained_row

ROWS = choose(step(Path("model")).rows, 33)


def halves(lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """Contiguous shares, in place of verl's balanced ones."""
    share = len(lengths) // ranks
    return [list(range(r * share, (r + 1) * share)) for r in range(ranks)]


def ident(cut: Cut) -> str:
    return f"{cut.ranks} {cut.name}"


@pytest.mark.parametrize("cut", CUTS, ids=ident)
def test_every_row_of_s_star_lies_somewhere_once(cut: Cut) -> None:
    placed = place(cut, ROWS, halves)
    assert len(placed) == cut.ranks
    assert len({len(share) for share in placed}) == 1
    assert len(placed[0]) % (cut.micro_rows or 1) == 0
    everywhere = [item for share in placed for item in share]
    trained = sorted(row.session for row, part in everywhere if part is Part.TRAINED)
    assert trained == sorted(row.session for row in ROWS.trained)
    kept = [row for row, part in everywhere if part is Part.DROPPED]
    assert all(not row.in_s_star for row in kept)
    assert len(kept) == (6 if cut.extra == "dropped_unmasked" else 0)


def test_a_micro_batch_and_a_rank_can_be_without_s_star() -> None:
    named = {(cut.name, cut.ranks): cut for cut in CUTS}
    for ranks in (1, 2):
        for share in place(named["a micro-batch without S*", ranks], ROWS, halves):
            assert {part for _, part in share[-3:]} == {Part.CLEARED}
    first, second = place(named["a rank without S*", 2], ROWS, halves)
    assert {part for _, part in second} == {Part.CLEARED}
    assert sum(part is Part.TRAINED for _, part in first) == len(ROWS.trained)


def test_no_two_cuts_share_a_name_on_the_same_ranks() -> None:
    assert len({ident(cut) for cut in CUTS}) == len(CUTS)


def test_uneven_order_sets_long_beside_short() -> None:
    (cut,) = (cut for cut in CUTS if cut.order == "uneven" and cut.ranks == 1)
    lengths = [len(row.input_ids) for row, _ in place(cut, ROWS, halves)[0]]
    assert lengths[0] == min(lengths)
    assert lengths[1] == max(lengths)


def test_padding_is_copied_where_too_few_rows_were_dropped() -> None:
    rows = choose([row for row in step(Path("model")).rows if row.in_s_star], 33)
    placed = place(Cut("four", micro_rows=4), rows, halves)[0]
    shortest = min(len(row.input_ids) for row in rows.trained)
    padding = [row for row, part in placed if part is Part.CLEARED]
    assert [len(row.input_ids) for row in padding] == [shortest] * 3


def test_every_kind_of_row_is_taken_in_turn() -> None:
    many = [trained_row(3 * i, 9, -1.0) for i in range(20)]
    anchor = trained_row(60, 9, 2.0)
    reflected = trained_row(61, 9, -0.2, reflected_from=3)
    rescued = trained_row(62, 9, 0.1)
    taken = choose([*many, anchor, reflected, rescued, row(63, 9, 0.0)], 10)
    assert len(taken.trained) == 9
    sessions = {made.session for made in taken.trained}
    assert {60, 61, 62} <= sessions
    assert [made.session for made in taken.dropped] == [63]


@pytest.mark.parametrize(("members", "limit", "count"), [(3, 33, 3), (8, 33, 3), (40, 33, 33)])
def test_the_number_of_rows_is_an_odd_multiple_of_three(
    members: int, limit: int, count: int
) -> None:
    rows = [trained_row(i, 9, 1.0) for i in range(members)]
    assert len(choose(rows, limit).trained) == count


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="has 2 rows"):
        choose([trained_row(i, 9, 1.0) for i in range(2)], 33)


def test_counts_by_hand() -> None:
    """Groups 0 and 1 are mixed, group 2 rescued; rows 6 and 7 are reflections."""
    assert counts(step(Path("model")).rows) == {
        "rows of S*": 9,
        "dropped rows": 8,
        "mixed groups": 2,
        "rescued groups": 1,
        "successful reflections": 1,
        "failed reflections": 1,
    }
