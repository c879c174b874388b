"""Room for the record of the run, which is written beside its checkpoints unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from care_verl.tools.doctor.disk import CHECK, size_text
from care_verl.tools.doctor.finding import Finding
from care_verl.tools.doctor.method import RunMethod
from care_verl.tools.doctor.sizes import Sizes

_TOKEN = 10
"""Bytes of a response token, its text, id, mask and credit: 5 to 8 were seen in made-up steps."""
_UNKNOWN = 1000
"""Steps of a run whose length is not given."""


@dataclass(frozen=True)
class Records:
    """The files that a run will write. step: bytes of one at most; count: of those that stay."""

    folder: Path
    key: str
    step: float
    count: int

    @classmethod
    def of(cls, config: DictConfig) -> Records | None:
        """Those of a run; None for one that writes none."""
        from care_verl.records.files import FOLDER

        method = RunMethod.of(config)
        settings = method and method.settings and method.settings.records
        if not method or not settings or not settings.every:
            return None
        reflections = int(method.reflection_tokens is not None)
        sizes = Sizes.of(config)
        rows = sizes.prompts * (sizes.group + reflections)
        steps = int(config.trainer.total_training_steps or _UNKNOWN)
        recorded = -(-steps // settings.every)
        return cls(
            Path(settings.folder or Path(config.trainer.default_local_dir) / FOLDER).absolute(),
            settings.KEY,
            float(rows * int(config.actor_rollout_ref.rollout.response_length) * _TOKEN),
            min(recorded, settings.keep or recorded),
        )

    @property
    def size(self) -> float:
        """Bytes of all of them, at most."""
        return self.step * self.count


def check_records(records: Records, free: int, beside: float) -> Finding:
    """Whether they fit into `free` bytes, `beside` of which the checkpoints take."""
    text = (
        f"records of at most {size_text(records.step)} a step, {records.count} of them: at most "
        f"{size_text(records.size)}"
    )
    if records.size + beside <= free:
        return CHECK.ok(text)
    others = f" beside {size_text(beside)} of checkpoints" if beside else ""
    return CHECK.error(
        f"{text}{others}; {records.folder} has {size_text(free)} free",
        f"make room, set ++{records.key}.keep=100 or ++{records.key}.every=10, or another "
        f"++{records.key}.folder",
    )
