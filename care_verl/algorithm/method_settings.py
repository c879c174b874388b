"""What the settings of every method have, whatever else they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from care_verl.algorithm.settings import Settings
from care_verl.algorithm.tags import TagSettings

if TYPE_CHECKING:
    from care_verl.algorithm.config import RecordsConfig


class MethodSettings(Settings):
    """Settings in a section `algorithm.NAME`, which their class declares as fields.

    seeded: each rollout is decoded with a seed of its own. lam: share of the format in the
    verifier's reward. records: of the run's record.
    """

    seeded: bool
    lam: float
    records: RecordsConfig

    @property
    def tags(self) -> TagSettings:
        """The tags of its responses."""
        raise NotImplementedError

    def warnings_for(self, G: int) -> list[str]:
        """What is legal but cannot work as asked with G rollouts a group; empty if all is well."""
        return []
