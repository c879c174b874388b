"""What the report needs of a step's rows, one entry for each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from care_verl.tools.statistics import Floats

COLUMNS = [
    "uid",
    "reflected_from",
    "data_source",
    "index",
    "rationale",
    "acc",
    "reward",
    "kind",
    "role",
    "k_s",
    "advantage_raw",
    "advantage",
]


@dataclass(frozen=True)
class Groups:
    """N groups, all arrays [N].

    prompt: data source and index, one name for one prompt over epochs; empty where unknown.
    accuracy: share of right originals. right, right_length: number of right originals and the sum
    of their rationale tokens. second_positive: a successful reflection is in the update.
    anchor_raw, negative_raw: A_raw of the anchor, mean A_raw of the negatives; NaN without update.
    gap: the anchor's reward less the negatives' mean, Delta; spread: the population variance of the
    negatives' rewards, Var_- (Section 3.4). Both of the true rewards, NaN without update.
    signal: sum of |A|; failed_signal: the part of it that comes from rows with acc != 1.

    A method without subgroups has no k_s, which is 0 then, and NaN for all that hangs on it.
    """

    step: npt.NDArray[np.int64]
    prompt: npt.NDArray[np.str_]
    kind: npt.NDArray[np.str_]
    k_s: npt.NDArray[np.int64]
    accuracy: Floats
    right: npt.NDArray[np.int64]
    right_length: Floats
    second_positive: npt.NDArray[np.bool_]
    anchor_raw: Floats
    negative_raw: Floats
    gap: Floats
    spread: Floats
    signal: Floats
    failed_signal: Floats

    def __len__(self) -> int:
        return len(self.step)

    def where(self, chosen: npt.NDArray[np.bool_ | np.int64]) -> Groups:
        """The groups of a mask, or at places in their order."""
        return Groups(*(getattr(self, item.name)[chosen] for item in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Groups]) -> Groups:
        """The groups of several steps or runs, in order."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def groups_of(table: pa.Table, step: int) -> Groups:
    """The groups of one step's rows (`COLUMNS`), in order of first appearance."""
    encoded = table["uid"].combine_chunks().dictionary_encode()
    group = encoded.indices.to_numpy()
    count = len(encoded.dictionary)
    first = np.unique(group, return_index=True)[1]
    role, acc, reward, raw = (
        _array(table, name) for name in ("role", "acc", "reward", "advantage_raw")
    )

    def total(values: npt.NDArray, chosen: npt.NDArray[np.bool_]) -> Floats:
        return np.bincount(group[chosen], values[chosen].astype(float), count).astype(float)

    def mean(values: npt.NDArray, chosen: npt.NDArray[np.bool_]) -> Floats:
        members = total(np.ones(len(group)), chosen)
        return np.divide(total(values, chosen), members, np.full(count, np.nan), where=members > 0)

    original = _array(table, "reflected_from") < 0
    right, negative = original & (acc == 1), role == "negative"
    centre = mean(reward, negative)
    size = np.abs(_array(table, "advantage"))
    return Groups(
        step=np.full(count, step),
        prompt=_prompts(table.take(first)),
        kind=_array(table, "kind")[first],
        k_s=pc.fill_null(table["k_s"], 0).to_numpy()[first].astype(np.int64),
        accuracy=mean(acc == 1, original),
        right=total(np.ones(len(group)), right).astype(np.int64),
        right_length=total(_lengths(table["rationale"]), right),
        second_positive=total(np.ones(len(group)), role == "positive") > 0,
        anchor_raw=mean(raw, role == "anchor"),
        negative_raw=mean(raw, negative),
        gap=mean(reward, role == "anchor") - centre,
        spread=mean((reward - centre[group]) ** 2, negative),
        signal=total(size, size > 0),
        failed_signal=total(size, acc != 1),
    )


def _array(table: pa.Table, name: str) -> npt.NDArray:
    values = table[name].to_numpy()
    if values.dtype == object:
        return values.astype(str)
    return values.astype(float) if values.dtype == np.float32 else values


def _lengths(spans: pa.ChunkedArray) -> Floats:
    """Tokens of each span; 0 where there is none."""
    return np.array([0.0 if span is None else span[1] - span[0] for span in spans.to_pylist()])


def _prompts(table: pa.Table) -> npt.NDArray[np.str_]:
    pairs = zip(table["data_source"].to_pylist(), table["index"].to_pylist(), strict=True)
    names = ["" if index is None else f"{source}/{index}" for source, index in pairs]
    return np.array(names, dtype=str)
