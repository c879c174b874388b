"""A row's product does not depend on its company, for the thread counts that a small machine has.

MKL uses no more threads than there are cores: what it does with more is not shown here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from care_verl.platform.linear import row_independent_linear

SHAPES = [(128, 384), (512, 128), (128, 1000), (1176, 64), (896, 1152), (64, 7)]
"""(inputs, outputs): projections, an output layer, a patch embedding, a very narrow layer."""


@pytest.fixture(params=sorted({1, 2, os.cpu_count() or 1}))
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
def test_a_row_is_the_same_in_any_company(inputs: int, outputs: int, threads: int) -> None:
    generator = torch.Generator().manual_seed(inputs)
    weight = torch.randn(outputs, inputs, generator=generator)
    bias = torch.randn(outputs, generator=generator)
    rows = torch.randn(256, inputs, generator=generator)
    together = row_independent_linear(rows, weight, bias)
    torch.testing.assert_close(together, torch.nn.functional.linear(rows, weight, bias))
    for count in range(1, 65):
        for start in (0, 37, 256 - count):
            part = slice(start, start + count)
            alone = row_independent_linear(rows[part].clone(), weight, bias)
            assert torch.equal(alone, together[part]), (count, start)


def test_torchs_own_depends_on_it() -> None:
    """Else this module could go."""
    rows, weight = torch.randn(64, 128), torch.randn(384, 128)
    together = torch.nn.functional.linear(rows, weight)
    alone = torch.cat([torch.nn.functional.linear(row[None], weight) for row in rows])
    if torch.equal(alone, together):
        pytest.skip("this machine's kernels do not depend on the number of rows")


def test_leading_dimensions_are_kept() -> None:
    x, weight = torch.randn(3, 5, 8), torch.randn(6, 8)
    torch.testing.assert_close(
        row_independent_linear(x, weight), torch.nn.functional.linear(x, weight)
    )
    assert row_independent_linear(x[:, :0], weight).shape == (3, 0, 6)
