"""Per-token advantages (Eq. 11) of the rows that go on, as fields for verl's queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from care_verl.algorithm import CareConfig, region_weights, token_advantages
from care_verl.training.care.step_rows import StepRows
from care_verl.training.fields import IN_S_STAR

Fields = dict[str, Tensor]


def row_credit(token_advantage: Tensor, in_s_star: bool) -> Fields:
    """The queue fields of one row: `token_advantage` [T] and whether it counts in |S*|."""
    return {
        "advantages": token_advantage,
        "returns": token_advantage,
        IN_S_STAR: torch.tensor([float(in_s_star)]),
    }


def credit_fields(
    rows: StepRows, advantage: Tensor, updated: Sequence[int], config: CareConfig
) -> tuple[dict[str, Fields], int]:
    """Fields of the `updated` rows by key, and how many of them are left without any weight.

    advantage: [B], sequence advantages of all rows; `updated` are the indices where it is not 0.
    """
    if not updated:
        return {}, 0
    masks = [rows.masks[i] for i in updated]
    weights = region_weights(
        [rows.records[i].spans for i in updated],
        rows.acc[list(updated)],
        pad_sequence(masks, batch_first=True),
        config,
    )
    credit, without_weight = token_advantages(advantage[list(updated)], weights, config.eps_w)
    fields = {
        rows.keys[i]: row_credit(credit[place, : len(mask)].float(), True)
        for place, (i, mask) in enumerate(zip(updated, masks, strict=True))
    }
    return fields, int(without_weight.sum())


def unpaid_answers(rows: StepRows, credit: Mapping[str, Fields]) -> int:
    """Updated rows whose answer has bytes and none of the credit: always 0 where tokens are right.

    credit: fields of the updated rows by key. Tokens that were not decoded carry nothing, so a row
    whose answer was copied into its prefix counts too.
    """
    spans = dict(zip(rows.keys, (record.spans for record in rows.records), strict=True))
    return sum(
        not fields["advantages"][slice(*answer)].any()
        for key, fields in credit.items()
        if (answer := spans[key].answer) is not None and spans[key].answer_len
    )


def no_credit(length: int) -> Fields:
    """Fields of a padding row of `length` response tokens."""
    return row_credit(torch.zeros(length), False)
