"""The section `algorithm.leave_one_out`."""

from dataclasses import dataclass
from typing import ClassVar

from care_verl.algorithm.config import RecordsConfig
from care_verl.algorithm.method_settings import MethodSettings
from care_verl.algorithm.settings import Flag, Real, TagName, section, setting
from care_verl.algorithm.tags import TagSettings


@dataclass(frozen=True)
class LeaveOneOutRecordsConfig(RecordsConfig):
    """The settings of the record, under the key of this method."""

    KEY: ClassVar[str] = "algorithm.leave_one_out.records"


@dataclass(frozen=True)
class LeaveOneOutConfig(TagSettings, MethodSettings):
    """All settings. A bad value is a ValueError that names the key."""

    KEY: ClassVar[str] = "algorithm.leave_one_out"

    scale: float = setting(1.0, Real("(0, inf)"), "ours", "factor on all advantages")
    lam: float = setting(0.1, Real("[0, 1]"), "ours", "share of the format in the reward")
    think_tag: str = setting("think", TagName(), "ours", "rationale tag")
    answer_tag: str = setting("answer", TagName(), "ours", "answer tag")
    prefilled: bool | None = setting(
        None, Flag(optional=True), "ours", "the prompt opens the rationale; null detects it"
    )
    seeded: bool = setting(False, Flag(), "ours", "a seed for each rollout")
    records: LeaveOneOutRecordsConfig = section(LeaveOneOutRecordsConfig)

    @property
    def tags(self) -> TagSettings:
        return self
