"""Rationale harvest while a response is decoded: token ids in, pooled hidden rows out.

The inference engine sees one token and one hidden row a step and must not wait for the host. A
table over (state, token id) therefore decides beforehand what every token does, and a step is
tensor indexing on the device. The rows it commits are those of `token_spans(...).rationale`: of
every token that carries a byte of the rationale.

A tag holds `<` in its first byte only, so a partial match that fails never overlaps a newer one.
Two accumulators a request are enough: S, the rows known to be rationale, and P, the rows whose
bytes are rationale unless they turn out to spell the closing tag.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from care_verl.grammar import TagSpec

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
_ACTIONS = {effects: action for action, effects in enumerate(_EFFECTS)}


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
        walk = _Walk(tags.think_open, tags.think_close)
        next_state = torch.zeros((walk.done + 1, len(vocab)), dtype=torch.uint8)
        action = torch.full((walk.done + 1, len(vocab)), _NONE, dtype=torch.uint8)
        # A token that holds nothing of a tag leaves any partial match behind.
        next_state[walk.inside : walk.done] = walk.inside
        action[walk.inside : walk.done] = _COMMIT
        for token in _pieces_of_tags(vocab, tags):
            for state in range(walk.done):
                next_state[state, token], action[state, token] = walk.over(vocab[token], state)
        ends = sorted({*end_token_ids, *(i for i, piece in enumerate(vocab) if not piece)})
        next_state[:, ends] = walk.done
        action[:, ends] = _NONE
        action[walk.inside : walk.done, ends] = _COMMIT_PENDING
        next_state[walk.done] = walk.done
        return cls(next_state, action, torch.tensor(_EFFECTS), 0, walk.inside, walk.done)

    def to(self, device: torch.device | str) -> RationaleAutomaton:
        """The same automaton with its tables on `device`."""
        return replace(
            self,
            next_state=self.next_state.to(device),
            action=self.action.to(device),
            effects=self.effects.to(device),
        )


class _Walk:
    """What the bytes of one token do to a state.

    States 0 to `inside` - 1: before the rationale, so many bytes of its opening tag matched. Then,
    from `inside` on: inside it, so many bytes of the closing tag matched. Last: `done`.
    """

    def __init__(self, opening: bytes, closing: bytes) -> None:
        self._opening, self._closing = opening, closing
        self.inside = len(opening)
        self.done = len(opening) + len(closing)

    def over(self, piece: bytes, state: int) -> tuple[int, int]:
        """The state behind a token that begins in `state`, and its action."""
        inside = state >= self.inside
        matched = state - self.inside if inside else state
        earlier_in_doubt = inside and matched > 0
        in_doubt = 0  # This token's own among the matched bytes.
        own = earlier = False  # Whether this and the earlier tokens are rationale beyond doubt.
        for byte in piece:
            tag = self._closing if inside else self._opening
            if byte != tag[matched]:
                begins = byte == tag[0]
                own = own or (inside and (in_doubt > 0 or not begins))
                earlier = earlier or earlier_in_doubt
                matched = in_doubt = int(begins)
                continue
            matched, in_doubt = matched + 1, in_doubt + 1
            if matched == len(tag):
                if inside:
                    return self.done, _ACTIONS[own or earlier, own, False, False]
                inside, matched, in_doubt = True, 0, 0
        if not inside:
            return matched, _NONE
        hold = in_doubt > 0 and not own
        keep = not own and not earlier
        return self.inside + matched, _ACTIONS[own or earlier, own, keep, hold]


def _pieces_of_tags(vocab: Sequence[bytes], tags: TagSpec) -> Iterator[int]:
    """Tokens that can begin, continue or end a tag of the rationale."""
    pair = (tags.think_open, tags.think_close)
    inner = {tag[j:k] for tag in pair for j in range(len(tag)) for k in range(j + 1, len(tag))}
    for token, piece in enumerate(vocab):
        if b"<" in piece or b">" in piece or piece in inner:
            yield token


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
