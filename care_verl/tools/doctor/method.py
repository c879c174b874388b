"""The method of a run and its settings, as far as they can be read.

A check goes on where another one refuses the settings: it then does without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from care_verl.algorithm.method_settings import MethodSettings
from care_verl.training.wiring import Wiring, wiring_of


@dataclass(frozen=True)
class RunMethod:
    """settings: None where a value is refused, which the check of the configuration tells."""

    wiring: Wiring[Any]
    settings: MethodSettings | None

    @classmethod
    def of(cls, config: DictConfig) -> RunMethod | None:
        """None for a run of another estimator than ours."""
        wiring = wiring_of(config)
        if wiring is None:
            return None
        try:
            return cls(wiring, wiring.settings_of(config))
        except ValueError:
            return cls(wiring, None)

    @property
    def hard_negatives(self) -> int | None:
        """As of the wiring."""
        return None if self.settings is None else self.wiring.hard_negatives(self.settings)

    @property
    def reflection_tokens(self) -> int | None:
        """As of the wiring."""
        return None if self.settings is None else self.wiring.reflection_tokens(self.settings)
