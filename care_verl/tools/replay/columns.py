"""Accuracy and reward of the rows of another framework's dump, whose columns have many names."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from care_verl.common.errors import CareVerlError
from care_verl.common.jsonl import Malformed
from care_verl.tools.replay.rollouts import RawRow, Reading, ReplayError, Rollout
from care_verl.tools.replay.texts import measured

ACCURACY = ("acc", "accuracy", "accuracy_reward", "MathAccuracy")
"""Columns that are taken for the accuracy where none is named; the first that any row has."""

Accuracy = Callable[[RawRow], float]


class UnusableError(CareVerlError, ValueError):
    """Why a row cannot be used."""


def rollouts_of(
    rows: Sequence[RawRow], reading: Reading
) -> tuple[list[Rollout], list[Malformed], list[str]]:
    """The usable rows in their order, the others with reasons, and how they were read.

    Raises ReplayError where nothing says which responses are right.
    """
    malformed: list[Malformed] = []
    rewarded = []
    for row in rows:
        try:
            rewarded.append((row, _reward(row, reading.reward_columns or row.rewards)))
        except UnusableError as reason:
            malformed.append(Malformed(row.where, str(reason)))
    if not rewarded:
        return [], malformed, []
    accuracy, note = _accuracy(rewarded, reading)
    found: list[Rollout] = []
    sessions: Counter[str] = Counter()
    for row, reward in rewarded:
        try:
            acc = accuracy(row)
        except UnusableError as reason:
            malformed.append(Malformed(row.where, str(reason)))
            continue
        found.append(_rollout(row, sessions[row.group], reward, acc, reading))
        sessions[row.group] += 1
    columns = dict.fromkeys(reading.reward_columns or row.rewards for row, _ in rewarded)
    notes = [note, *(f"Reward: {' + '.join(names)}, unweighted." for names in columns)]
    return found, malformed, notes


def _rollout(row: RawRow, session: int, reward: float, acc: float, reading: Reading) -> Rollout:
    text = measured(row.response, reading.tags, reading.prefilled)
    return Rollout(
        where=row.where,
        group=row.group,
        session=session,
        acc=acc,
        reward=reward,
        length=text.length,
        think_len=text.think_len,
        answer_len=text.answer_len,
        rationale=text.rationale,
        advantage=row.advantage,
        likelihood=row.likelihood,
        reasoned=text.reasoned,
    )


def number(value: Any, name: str) -> float:
    """A finite number. Raises UnusableError for anything else."""
    if not isinstance(value, bool | int | float):
        raise UnusableError(f"{name} is a {type(value).__name__}, expected a number")
    if not math.isfinite(value):
        raise UnusableError(f"{name} is {value}, expected a finite number")
    return float(value)


def likelihood(value: Any, name: str) -> float:
    """A probability, or NaN for null: a row without an answer. Raises UnusableError otherwise."""
    if value is None:
        return math.nan
    found = number(value, name)
    if not 0 <= found <= 1:
        raise UnusableError(f"{name} is {found:g}, expected 0 to 1")
    return found


def _reward(row: RawRow, names: tuple[str, ...]) -> float:
    """The sum; a part that is null or NaN did not apply to the row, as in TRL and ms-swift."""
    if missing := [name for name in names if name not in row.values]:
        raise UnusableError(f"no {missing[0]!r} among {sorted(map(str, row.values))}")
    values = [(row.values[name], name) for name in names]
    parts = [number(value, name) for value, name in values if not _absent(value)]
    if not parts:
        raise UnusableError(f"no reward: {', '.join(names) or 'no column'} is null or NaN")
    return math.fsum(parts)


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _accuracy(rewarded: Sequence[tuple[RawRow, float]], reading: Reading) -> tuple[Accuracy, str]:
    if reading.acc_column and reading.gold_column:
        raise ReplayError("accuracy is either read or judged: name one of accuracy and gold column")
    if reading.gold_column:
        judged = _judged(reading.gold_column, reading)
        return judged, f"Accuracy: the verifier's, against {reading.gold_column}."
    present = [name for name in ACCURACY if any(name in row.values for row, _ in rewarded)]
    name = reading.acc_column or next(iter(present), None)
    if name is not None:
        return _column(name), f"Accuracy: {name}."
    names: set[tuple[str, ...]] = {reading.reward_columns or row.rewards for row, _ in rewarded}
    only = names.pop() if len(names) == 1 else ()
    if len(only) == 1 and all(reward in (0, 1) for _, reward in rewarded):
        return _column(only[0]), f"Accuracy: {only[0]}, which is 0 or 1 in every row."
    columns = sorted({str(name) for row, _ in rewarded for name in row.values})
    raise ReplayError(
        f"nothing says which responses are right: there is no column {' or '.join(ACCURACY)}, and "
        f"the reward is not one column of 0 and 1. Name the accuracy with --acc-column, or the "
        f"gold answer with --gold-column for the verifier to judge. Columns: {', '.join(columns)}"
    )


def _column(name: str) -> Accuracy:
    def read(row: RawRow) -> float:
        if name not in row.values:
            raise UnusableError(f"no {name!r} among {sorted(map(str, row.values))}")
        value = number(row.values[name], name)
        if not 0 <= value <= 1:
            raise UnusableError(f"{name} is {value:g}, expected 0 to 1")
        return value

    return read


def _judged(name: str, reading: Reading) -> Accuracy:
    from care_verl.verifier import verify

    def judge(row: RawRow) -> float:
        gold = row.values.get(name)
        if isinstance(gold, bool) or not isinstance(gold, str | int | float):
            raise UnusableError(f"{name} is a {type(gold).__name__}, expected a gold answer")
        tags = reading.tags
        return verify(
            row.response,
            str(gold),
            think_tag=tags.think,
            answer_tag=tags.answer,
            prefilled=reading.prefilled,
        ).acc

    return judge
