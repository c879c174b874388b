"""Position ids of vision-language rows that happen to be equally long.

Each row has them as [axes, L], which verl wants joined along L. Its queue joins them along the
first dimension that the rows differ in; where all are equally long, and where there is one row,
they differ in none and are joined along the axes. verl would then cut them in the wrong places.
"""

from __future__ import annotations

from tensordict import TensorDict
from verl.utils.tensordict_utils import nested_tensor_from_tensor_list

FIELD = "position_ids"


def join_along_tokens(data: TensorDict) -> None:
    """Join nested three-dimensional position ids along the tokens, in place, if they are not."""
    if FIELD not in data.keys():  # noqa: SIM118
        return
    ids = data[FIELD]
    if not ids.is_nested or ids.dim() != 3:
        return
    values, offsets = ids.values(), ids.offsets()
    # `_ragged_idx`, which should tell, is lost on the way between processes.
    if values.shape[0] != int(offsets[-1]):
        return
    rows = values.unflatten(0, (len(offsets) - 1, -1)).unbind()
    data[FIELD] = nested_tensor_from_tensor_list(list(rows), ragged_idx=2)
