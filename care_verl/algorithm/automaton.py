"""Rationale harvest while a response is decoded: token ids in, pooled hidden rows out.

The inference engine sees one token and one hidden row a step and must not wait for the host. A
table over (state, token id) therefore decides beforehand what every token does, and a step is
tensor indexing on the device. The rows it commits are those of `token_spans(...).rationale`.

A tag holds `<` in its first byte only, so a partial match that fails never overlaps a newer one.
Two accumulators a request are enough: S, the rows known to be rationale, and P, the rows that
are rationale unless they turn out to spell the closing tag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from care_verl.algorithm.spans import TagSpec

# What a token does to the accumulators, as (S += P, S += h, keep P, P += h).
_EFFECTS = (
    (False, False, True, False),
    (True, True, False, False),
    (False, False, True, True),
    (True, False, False, True),
    (False, False, False, False),
    (True, False, False, False),
)
_NONE, _COMMIT, _HOLD, _RESTART, _DROP_PENDING, _COMMIT_PENDING = range(6)


@dataclass(frozen=True)
class RationaleAutomaton:
    """Tables of the harvest; build them once per vocabulary and tag names.

    next_state: uint8 [states, V], the state after a token.
    action: uint8 [states, V], row of `effects` that the token triggers.
    effects: bool [actions, 4], what an action does to S and P.
    start, start_prefilled: first state of a request, without and with the opening tag in its
        prompt.
    done: the state that nothing leaves.
    """

    next_state: Tensor
    action: Tensor
    effects: Tensor
    start: int
    start_prefilled: int
    done: int

    @classmethod
    def build(
        cls, vocab: Sequence[bytes], tags: TagSpec, end_token_ids: Collection[int]
    ) -> RationaleAutomaton:
        """Tabulates every token in every state; about a second for 152k tokens.

        **Settled**: an end-of-sequence, padding or empty token ends the rationale and is no part
        of it; the rows pending at that moment are rationale after all.

        Args:
            vocab: bytes of each token id, V of them. Pad it with `b""` to the model's V.
            tags: names of the tags; only the rationale's are used.
            end_token_ids: ids that end a response.

        Raises:
            ValueError: the vocabulary is empty or an end token lies outside it.
        """
        if not vocab:
            raise ValueError("the vocabulary is empty; expected the bytes of every token id")
        outside = [i for i in end_token_ids if not 0 <= i < len(vocab)]
        if outside:
            raise ValueError(
                f"end token ids {outside} lie outside the vocabulary of {len(vocab)} tokens"
            )
        opening, closing = tags.think_open, tags.think_close
        inside, done = len(opening), len(opening) + len(closing)
        next_state = torch.full((done + 1, len(vocab)), done, dtype=torch.uint8)
        action = torch.full((done + 1, len(vocab)), _NONE, dtype=torch.uint8)
        tables = cls(next_state, action, torch.tensor(_EFFECTS), 0, inside, done)
        tables._fill_closing(vocab, closing)
        tables._fill_opening(vocab, opening, closing)
        ends = sorted({*end_token_ids, *(i for i, piece in enumerate(vocab) if not piece)})
        next_state[:, ends] = done
        action[:, ends] = _NONE
        action[inside:done, ends] = _COMMIT_PENDING
        return tables

    def to(self, device: torch.device | str) -> RationaleAutomaton:
        """The same automaton with its tables on `device`."""
        return replace(
            self,
            next_state=self.next_state.to(device),
            action=self.action.to(device),
            effects=self.effects.to(device),
        )

    def _fill_closing(self, vocab: Sequence[bytes], closing: bytes) -> None:
        """States `start_prefilled + j`: inside the rationale, j bytes of its closing tag seen."""
        inside = self.start_prefilled
        self.next_state[inside : self.done] = inside
        self.action[inside : self.done] = _COMMIT
        for token, piece in enumerate(vocab):
            if b"<" in piece:
                matched = _scan(piece, closing)
                if matched is None:
                    self.next_state[inside : self.done, token] = self.done
                    self.action[inside : self.done, token] = _COMMIT_PENDING
                elif matched > 0:
                    self.next_state[inside : self.done, token] = inside + matched
                    self.action[inside : self.done, token] = _RESTART
        for j, token, rest in _continuations(vocab, closing):
            completes = rest is not None
            state = self.done if completes else inside + j + len(vocab[token])
            self.next_state[inside + j, token] = state
            self.action[inside + j, token] = _DROP_PENDING if completes else _HOLD

    def _fill_opening(self, vocab: Sequence[bytes], opening: bytes, closing: bytes) -> None:
        """States `j`: before the rationale, j bytes of its opening tag seen."""
        self.next_state[: self.start_prefilled] = 0
        for token, piece in enumerate(vocab):
            if b"<" in piece:
                at = piece.find(opening)
                matched = _scan(piece, opening)
                state = (
                    self._after_opening(piece[at + len(opening) :], closing)
                    if matched is None
                    else matched
                )
                self.next_state[: self.start_prefilled, token] = state
        for j, token, rest in _continuations(vocab, opening):
            self.next_state[j, token] = (
                j + len(vocab[token]) if rest is None else self._after_opening(rest, closing)
            )

    def _after_opening(self, rest: bytes, closing: bytes) -> int:
        matched = _scan(rest, closing)
        return self.done if matched is None else self.start_prefilled + matched


def _scan(piece: bytes, tag: bytes) -> int | None:
    """Bytes of `tag` matched at the end of `piece`, from a clean start; None if it completes."""
    if tag in piece:
        return None
    at = piece.rfind(b"<")
    return len(piece) - at if at >= 0 and tag.startswith(piece[at:]) else 0


def _continuations(vocab: Sequence[bytes], tag: bytes) -> list[tuple[int, int, bytes | None]]:
    """(j, token, rest) for every token that goes on where j > 0 bytes of `tag` were matched.

    `rest` is what the token holds behind the completed tag, None while the tag is incomplete.
    """
    ids: Mapping[bytes, list[int]] = defaultdict(list)
    finishing = []
    inner = {tag[j:k] for j in range(1, len(tag)) for k in range(j + 1, len(tag))}
    for token, piece in enumerate(vocab):
        if piece in inner:
            ids[piece].append(token)
        elif b">" in piece:
            finishing.append(token)
    found: list[tuple[int, int, bytes | None]] = []
    for j in range(1, len(tag)):
        for k in range(j + 1, len(tag)):
            found += [(j, token, None) for token in ids.get(tag[j:k], ())]
        found += [
            (j, token, vocab[token][len(tag) - j :])
            for token in finishing
            if vocab[token].startswith(tag[j:])
        ]
    return found


def accumulate(
    automaton: RationaleAutomaton,
    state: Tensor,
    S: Tensor,
    P: Tensor,
    nS: Tensor,
    nP: Tensor,
    token_ids: Tensor,
    hidden: Tensor,
    active: Tensor,
) -> None:
    """One decode step for R requests, in place and without waiting for the host.

    **Settled**: the rationale's rows are those of the tokens *fed*, so the row of a token is the
    hidden row computed when it was the input.

    Args:
        automaton: the tables, on the same device as everything else.
        state: int64 [R], first `automaton.start` or `automaton.start_prefilled`.
        S, P: [R, H] sums of committed and of pending rows, zero at first (float32 or wider).
        nS, nP: integer [R], how many rows they hold, zero at first.
        token_ids: integer [R], the tokens fed.
        hidden: [R, H], their final-layer hidden rows; only read where `active`.
        active: bool [R]; a request that is not active keeps everything as it is.
    """
    ids = torch.where(active, token_ids, 0).long()
    action = torch.where(active, automaton.action[state, ids].long(), _NONE)
    state.copy_(torch.where(active, automaton.next_state[state, ids].long(), state))
    commit_pending, commit_row, keep_pending, hold_row = automaton.effects[action].unbind(1)
    row = hidden.to(S.dtype)
    S.add_(torch.where(commit_pending[:, None], P, 0))
    S.add_(torch.where(commit_row[:, None], row, 0))
    P.copy_(torch.where(keep_pending[:, None], P, 0))
    P.add_(torch.where(hold_row[:, None], row, 0))
    nS.add_(torch.where(commit_pending, nP, 0) + commit_row)
    nP.copy_(torch.where(keep_pending, nP, 0) + hold_row)


def finish(S: Tensor, P: Tensor, nS: Tensor, nP: Tensor) -> None:
    """Commits what is pending, in place, for requests whose response has ended.

    A rationale that was never closed runs to the end of the response, so an unfinished closing
    tag is rationale. Where the rationale was closed nothing is pending and nothing changes.
    """
    S.add_(P)
    nS.add_(nP)
    P.zero_()
    nP.zero_()


def rationale_embedding(S: Tensor, nS: Tensor) -> Tensor:
    """The mean of the committed rows, L2-normalised (Section 3.3), float32 [R, H].

    The mean is over the nS rows of a request. **Settled**: a request without any rationale token
    has the zero vector, which is at cosine distance 1 from everything.
    """
    mean = S / nS.clamp(min=1)[:, None]
    return torch.nn.functional.normalize(mean, dim=-1, eps=torch.finfo(S.dtype).tiny).float()
