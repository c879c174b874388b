"""A linear layer whose rows do not depend on how many rows stand beside them.

`torch.nn.functional.linear` in fp32 multiplies with MKL. MKL deals rows to its threads in blocks of
four, and a thread that gets less than a block takes another kernel, which sums in another order:
alone, a row comes out different in its last bits than in a batch (with one thread where fewer than
4 rows come, with two threads at 1-3, 5-7 and 9-11 rows). In vLLM, which rows share a step is a
matter of timing, so log-probabilities would differ from run to run.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 4
"""Rows are filled up to a multiple of this, which leaves no thread less, however many there are."""


def row_independent_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., I], weight [O, I], bias [O] -> [..., O], as `torch.nn.functional.linear`.

    Without a branch on the number of rows: vLLM compiles one graph for all of them.
    """
    rows = x.flatten(0, -2)
    count = rows.shape[0]
    filled = pad(rows, (0, 0, 0, -count % BLOCK))
    out = torch.nn.functional.linear(filled, weight, bias)
    return out[:count].reshape(*x.shape[:-1], weight.shape[0])
