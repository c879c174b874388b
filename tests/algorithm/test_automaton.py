"""The streaming harvest commits exactly the tokens of `token_spans(...).rationale`.

Runs on CPU. It does not prove that an engine feeds every token once and in order, nor that a
step on a GPU never waits for the host.
"""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from care_verl.algorithm import RationaleAutomaton, token_spans
from care_verl.algorithm.automaton import accumulate, finish, rationale_embedding
from care_verl.grammar import TagSpec

from .test_spans import segmented_texts


class Harvest:
    """Accumulators of R requests; the hidden row of position t is the t-th unit vector."""

    def __init__(self, automaton: RationaleAutomaton, prefilled: list[bool], width: int) -> None:
        requests = len(prefilled)
        self.automaton = automaton
        start, inside = automaton.start, automaton.start_prefilled
        self.state = torch.tensor([inside if p else start for p in prefilled])
        self.S, self.P = torch.zeros(requests, width), torch.zeros(requests, width)
        self.nS, self.nP = torch.zeros(requests).int(), torch.zeros(requests).int()

    def step(self, ids: torch.Tensor, hidden: torch.Tensor, active: torch.Tensor) -> None:
        accumulate(
            self.automaton, self.state, self.S, self.P, self.nS, self.nP, ids, hidden, active
        )


def positions(row: torch.Tensor) -> list[int]:
    """The positions whose unit vectors were summed; each must have been counted once."""
    assert set(row.tolist()) <= {0.0, 1.0}
    return row.nonzero().flatten().tolist()


def expected(pieces: list[bytes], prefilled: bool) -> list[int]:
    return list(range(*(token_spans(pieces, TagSpec(), prefilled).rationale or (0, 0))))


@settings(max_examples=200)
@given(
    requests=st.lists(st.tuples(segmented_texts(), st.booleans()), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_commits_the_rationale(requests: list[tuple[list[bytes], bool]], seed: int) -> None:
    """Requests of different lengths side by side, some ended by an end token, some just stopped.

    Between their steps some requests pause, with rubbish in their row.
    """
    random = Random(seed)
    vocab = sorted({piece for pieces, _ in requests for piece in pieces} | {b"<|end|>", b"pad"})
    end = vocab.index(b"<|end|>")
    automaton = RationaleAutomaton.build(vocab, TagSpec(), [end])
    ids = [[vocab.index(piece) for piece in pieces] for pieces, _ in requests]
    for row in ids:
        if random.getrandbits(1):
            row += [end, vocab.index(b"pad")]
    width = max(map(len, ids)) + 1
    harvest = Harvest(automaton, [prefilled for _, prefilled in requests], width)
    at = [0] * len(ids)
    while any(a < len(row) for a, row in zip(at, ids, strict=True)):
        active = [a < len(row) and random.random() < 0.7 for a, row in zip(at, ids, strict=True)]
        tokens, hidden = [], []
        for r, on in enumerate(active):
            tokens.append(ids[r][at[r]] if on else -(10**6))
            hidden.append(torch.eye(width)[at[r]] if on else torch.full((width,), torch.nan))
            at[r] += on
        harvest.step(torch.tensor(tokens), torch.stack(hidden), torch.tensor(active))
    finish(harvest.S, harvest.P, harvest.nS, harvest.nP)
    for r, (pieces, prefilled) in enumerate(requests):
        assert positions(harvest.S[r]) == expected(pieces, prefilled)
        assert harvest.nS[r] == len(expected(pieces, prefilled))
    assert not harvest.P.any()
    assert not harvest.nP.any()


def run_one(pieces: list[bytes], prefilled: bool = True) -> Harvest:
    vocab = list(dict.fromkeys(pieces)) or [b"x"]
    harvest = Harvest(RationaleAutomaton.build(vocab, TagSpec(), []), [prefilled], len(pieces))
    for t, piece in enumerate(pieces):
        harvest.step(
            torch.tensor([vocab.index(piece)]), torch.eye(len(pieces))[t : t + 1], torch.ones(1) > 0
        )
    return harvest


@pytest.mark.parametrize(
    ("pieces", "committed", "pending"),
    [
        ([b"a", b"b"], [0, 1], []),
        ([b"a", b".<", b"/", b"think", b">", b"c"], [0, 1], []),
        ([b"a", b".</", b"thin"], [0, 1], [2]),
        ([b"<", b"/thi<", b"/think>"], [0, 1], []),
        ([b"<", b"/thi<", b"x"], [0, 1, 2], []),
        ([b"<", b"x</think>"], [0, 1], []),
        ([b"<", b"<", b"/think>"], [0], []),
        ([b"<", b"", b"x"], [0], []),
    ],
)
def test_pending_rows(pieces: list[bytes], committed: list[int], pending: list[int]) -> None:
    """Rows that may spell nothing but the closing tag wait in P until it completes or fails."""
    harvest = run_one(pieces)
    assert (positions(harvest.S[0]), positions(harvest.P[0])) == (committed, pending)
    assert (int(harvest.nS), int(harvest.nP)) == (len(committed), len(pending))


def test_end_token_commits_what_is_pending() -> None:
    automaton = RationaleAutomaton.build([b"a", b"</thi", b"<|end|>"], TagSpec(), [2])
    harvest = Harvest(automaton, [True], 4)
    for t, token in enumerate([0, 1, 2, 0]):
        harvest.step(torch.tensor([token]), torch.eye(4)[t : t + 1], torch.tensor([True]))
    assert positions(harvest.S[0]) == [0, 1]
    assert int(harvest.state) == automaton.done


def test_tables_of_a_large_vocabulary_are_small() -> None:
    """152,000 entries: one byte a state and table, 5 MB together."""
    vocab = [b"%x" % i for i in range(152_000)]
    automaton = RationaleAutomaton.build(vocab, TagSpec(), [7])
    tables = (automaton.next_state, automaton.action)
    assert sum(table.numel() * table.element_size() for table in tables) < 5_200_000
    assert automaton.next_state.max() == automaton.done < 256


@pytest.mark.parametrize(
    ("vocab", "ends", "message"), [([], [], "empty"), ([b"a"], [1], "outside")]
)
def test_refusals(vocab: list[bytes], ends: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RationaleAutomaton.build(vocab, TagSpec(), ends)


def test_embedding_is_the_normalised_mean() -> None:
    """Sum (6, 8) over 2 rows: mean (3, 4), length 5. Without rows: the zero vector."""
    embedding = rationale_embedding(torch.tensor([[6.0, 8], [0, 0]]), torch.tensor([2, 0]))
    torch.testing.assert_close(embedding, torch.tensor([[0.6, 0.8], [0, 0]]))
