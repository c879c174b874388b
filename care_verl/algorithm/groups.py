"""A batch of rollouts, checked once, and its prompt groups laid out as one padded table."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from care_verl.algorithm.reward import is_positive

ORIGINAL = -1
"""`reflected_from` of a row that is no reflection."""


@dataclass(frozen=True)
class Rollouts:
    """B rows as tensors on one device: float64 [B], int64 [B], embedding float64 [B, H].

    Build it with `checked`, which is the one place where input is validated.
    """

    reward: Tensor
    acc: Tensor
    uid: Sequence[Hashable]
    think_len: Tensor
    answer_len: Tensor
    embedding: Tensor
    logp_old: Tensor
    reflected_from: Tensor
    reasoned: Tensor
    """bool [B]."""

    @classmethod
    def checked(
        cls,
        reward: Tensor,
        acc: Tensor,
        uid: Sequence[Hashable],
        think_len: Tensor,
        answer_len: Tensor,
        embedding: Tensor,
        logp_old: Tensor,
        reflected_from: Tensor,
        reasoned: Tensor | None = None,
    ) -> Rollouts:
        """Validates shapes, types and ranges; brings everything to `reward`'s device.

        Raises:
            ValueError: names the argument, what was found and what is expected.
        """
        rows, device = len(uid), reward.device
        if rows == 0:
            raise ValueError("the batch has no rows; expected at least one")
        floats = {"reward": reward, "acc": acc, "logp_old": logp_old}
        whole = {"think_len": think_len, "answer_len": answer_len, "reflected_from": reflected_from}
        for name, value in (floats | whole).items():
            if value.shape != (rows,):
                raise ValueError(f"{name} has shape {tuple(value.shape)}; expected ({rows},)")
        for name, value in whole.items():
            if value.is_floating_point() or value.dtype == torch.bool:
                raise ValueError(f"{name} has dtype {value.dtype}; expected an integer dtype")
        if reasoned is None:
            reasoned = torch.ones(rows, dtype=torch.bool)
        if reasoned.shape != (rows,) or reasoned.dtype != torch.bool:
            raise ValueError(
                f"reasoned has shape {tuple(reasoned.shape)} and dtype {reasoned.dtype}; expected "
                f"({rows},) and torch.bool"
            )
        if embedding.ndim != 2 or embedding.shape[0] != rows:
            raise ValueError(f"embedding has shape {tuple(embedding.shape)}; expected ({rows}, H)")
        for name, value in {"reward": reward, "acc": acc, "embedding": embedding}.items():
            if not torch.isfinite(value).all():
                raise ValueError(f"{name} holds NaN or infinity; expected finite numbers")
        if ((acc < 0) | (acc > 1)).any():
            raise ValueError(f"acc reaches from {acc.min()} to {acc.max()}; expected [0, 1]")
        for name in ("think_len", "answer_len"):
            if (whole[name] < 0).any():
                raise ValueError(f"{name} holds a negative length; expected token counts")
        return cls(
            **{name: value.detach().to(device, torch.float64) for name, value in floats.items()},
            **{name: value.detach().to(device, torch.int64) for name, value in whole.items()},
            embedding=embedding.detach().to(device, torch.float64),
            uid=uid,
            reasoned=reasoned.to(device),
        )


@dataclass(frozen=True)
class Groups:
    """N prompt groups of at most W originals each, in order of first appearance.

    uids: the N group names.
    of_row: int64 [B], the group of each row.
    rows: int64 [N, W + 1], the row at each place of a group: its originals in row order, and in
        the last column its reflected row; 0 where there is none.
    valid: bool [N, W + 1], where `rows` holds a row.
    column: int64 [B], the place of each row in its group.
    """

    uids: list[Hashable]
    of_row: Tensor
    rows: Tensor
    valid: Tensor
    column: Tensor

    @classmethod
    def of(cls, rollouts: Rollouts) -> Groups:
        """Lays out the groups.

        Raises:
            ValueError: a reflection whose source lies outside the batch, is itself a reflection,
                belongs to another group or is no failure; a second reflection in a group; a
                reflection in an all-wrong group.
        """
        index: dict[Hashable, int] = {}
        device = rollouts.reward.device
        numbers = [index.setdefault(uid, len(index)) for uid in rollouts.uid]
        of_row = torch.tensor(numbers, device=device)
        source = rollouts.reflected_from
        _check_sources(rollouts, of_row)

        originals = (source < 0).nonzero().flatten()
        order = originals[torch.argsort(of_row[originals], stable=True)]
        sizes = torch.bincount(of_row[originals], minlength=len(index))
        group = of_row[order]
        rank = torch.arange(len(order), device=device) - (sizes.cumsum(0) - sizes)[group]
        width = int(sizes.max())

        column = torch.full_like(of_row, width)
        column[order] = rank
        rows = torch.zeros(len(index), width + 1, dtype=torch.int64, device=device)
        rows[of_row, column] = torch.arange(len(of_row), device=device)
        valid = torch.zeros_like(rows, dtype=torch.bool)
        valid[of_row, column] = True
        return cls(list(index), of_row, rows, valid, column)

    def to_rows(self, table: Tensor) -> Tensor:
        """Values of a [N, W + 1] table, row by row: [B]."""
        return table[self.of_row, self.column]


def _check_sources(rollouts: Rollouts, of_row: Tensor) -> None:
    source, rows = rollouts.reflected_from, len(of_row)
    if ((source < -1) | (source >= rows)).any():
        raise ValueError(
            f"reflected_from reaches from {source.min()} to {source.max()}; expected -1 for an "
            f"original or a row index below {rows}"
        )
    reflected = (source >= 0).nonzero().flatten()
    origin = source[reflected]
    groups = of_row[reflected]
    _refuse(source[origin] >= 0, reflected, "is made from a row that is itself a reflection")
    _refuse(of_row[origin] != groups, reflected, "has a source with another uid")
    _refuse(is_positive(rollouts.acc[origin]), reflected, "has a source that is no failure")
    counts = torch.bincount(groups, minlength=int(of_row.max()) + 1)
    _refuse(counts[groups] > 1, reflected, "is not the only one of its group")
    positive = is_positive(rollouts.acc) & (source < 0)
    has_positive = torch.zeros_like(counts).index_add_(0, of_row, positive.long()) > 0
    _refuse(~has_positive[groups], reflected, "stands in an all-wrong group")


def _refuse(wrong: Tensor, reflected: Tensor, what: str) -> None:
    if wrong.any():
        raise ValueError(
            f"reflected row {int(reflected[wrong][0])} {what}; expected at most one reflection a "
            "group, made from a failed original of a group that has a positive original"
        )
