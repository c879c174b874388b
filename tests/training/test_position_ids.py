"""Equally long rows of position ids, as the queue packs them, come apart as they were."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from transfer_queue.storage.managers.simple_storage_manager import AsyncSimpleStorageManager
from verl.utils.tensordict_utils import maybe_fix_3d_position_ids

from care_verl.training.run.position_ids import FIELD, join_along_tokens

AXES = 4


def packed(*lengths: int) -> tuple[list[torch.Tensor], TensorDict]:
    """Rows of these lengths, and the batch that the queue makes of them."""
    rows = [
        torch.arange(AXES * length).view(AXES, length) + 1000 * place
        for place, length in enumerate(lengths)
    ]
    column = AsyncSimpleStorageManager._pack_field_values(rows)
    return rows, TensorDict({FIELD: column}, batch_size=[len(rows)])


@pytest.mark.parametrize("lengths", [(7, 7, 7), (9,), (3, 5, 4), (4, 4), (2, 2, 2, 2)])
def test_rows_come_apart_as_they_were(lengths: tuple[int, ...]) -> None:
    rows, data = packed(*lengths)
    join_along_tokens(data)
    maybe_fix_3d_position_ids(data)
    assert data[FIELD].values().shape == (AXES, sum(lengths))
    for row, found in zip(rows, data[FIELD].unbind(), strict=True):
        assert torch.equal(row, found)


@pytest.mark.parametrize("lengths", [(7, 7, 7), (9,)])
def test_verl_alone_still_needs_it(lengths: tuple[int, ...]) -> None:
    """When this fails, the queue or verl tells these rows apart: `position_ids` can go."""
    _, data = packed(*lengths)
    maybe_fix_3d_position_ids(data)
    with pytest.raises(RuntimeError):
        data[FIELD].unbind()


def test_other_rows_are_left_alone() -> None:
    plain = TensorDict({FIELD: torch.zeros(2, 5)}, batch_size=[2])
    join_along_tokens(plain)
    assert plain[FIELD].shape == (2, 5)
    join_along_tokens(TensorDict({}, batch_size=[2]))
