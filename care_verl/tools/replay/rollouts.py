"""Rollouts as they are replayed, and what was left out of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from care_verl.algorithm import CareConfig
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.algorithm.groups import ORIGINAL
from care_verl.common.errors import CareVerlError
from care_verl.common.jsonl import Malformed
from care_verl.grammar import TagSpec


class ReplayError(CareVerlError, ValueError):
    """A file that cannot be replayed as asked; the message says what to change."""


@dataclass(frozen=True)
class Reading:
    """What the file itself does not say. Names are of columns; None and () leave them to the file.

    prefilled: responses begin inside the rationale.
    """

    acc_column: str | None = None
    gold_column: str | None = None
    reward_columns: tuple[str, ...] = ()
    tags: TagSpec = field(default_factory=TagSpec)
    prefilled: bool = False


@dataclass(frozen=True)
class RawRow:
    """A row of another framework's dump, before it is decided what is accuracy and what reward.

    group: the same text for all rollouts of one prompt in one step.
    values: the row's columns by name; rewards: the names of those that are rewards.
    advantage: as the run had it, where the dump has it. likelihood: as in `Rollout`.
    """

    where: str
    group: str
    response: str
    values: Mapping[str, Any]
    rewards: tuple[str, ...]
    advantage: float | None = None
    likelihood: float | None = None


@dataclass(frozen=True)
class Recorded:
    """What CARE's record says of an original. selected: a hard negative of its group."""

    anchor: bool
    selected: bool
    d_cos: float | None


@dataclass(frozen=True)
class Rollout:
    """One response.

    session: its number in its group; reflected_from: the session of a reflection's source.
    length: decoded tokens, or words of the response. think_len, answer_len: the same of its spans.
    logp: log pi_old(y|x) summed over the decoded tokens. advantage: as the run had it.
    reasoned: as of `care_advantages`.
    likelihood: of the answer under GRPO-CARE's reference; NaN where the row has no answer, None
    where the file does not say.
    """

    where: str
    group: str
    session: int
    acc: float
    reward: float
    length: int
    think_len: int
    answer_len: int
    rationale: str
    reflected_from: int = ORIGINAL
    logp: float | None = None
    advantage: float | None = None
    likelihood: float | None = None
    recorded: Recorded | None = None
    reasoned: bool = True


@dataclass(frozen=True)
class Dump:
    """What was read of a file or folder.

    rollouts: group by group. config: the settings that CARE is replayed with, unless changed;
    consistency: those of GRPO-CARE. notes: how accuracy, reward and groups were read.
    method: the estimator of a record; None where the file does not say.
    """

    format: str
    rollouts: list[Rollout]
    malformed: list[Malformed]
    notes: list[str]
    config: CareConfig = field(default_factory=CareConfig)
    consistency: GrpoCareConfig = field(default_factory=GrpoCareConfig)
    method: str | None = None
