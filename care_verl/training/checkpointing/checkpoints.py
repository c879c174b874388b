"""Checkpoints that are whole or absent: which one to resume from, and which may go.

The folder of a step begins with `unfinished` and ends with `complete.json` (`manifest`); only then
verl's tracker names it and older ones go. Folders are never renamed: shards may lie on the disks
of other nodes.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from care_verl.common.errors import CareVerlError
from care_verl.common.files import write_text
from care_verl.common.logs import logger_of
from care_verl.training.checkpointing import manifest

logger = logger_of(__name__)

TRACKER = "latest_checkpointed_iteration.txt"
_FOLDER = re.compile(r"global_step_(\d+)")


class CheckpointError(CareVerlError, RuntimeError):
    """A checkpoint could not be written, or there is none to resume from."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints in one folder."""

    root: Path

    @classmethod
    def of(cls, config: DictConfig) -> Checkpoints:
        """Those of a run, in `trainer.default_local_dir`."""
        return cls(Path(config.trainer.default_local_dir).absolute())

    def folder(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.root / f"global_step_{step}"

    def begin(self, step: int) -> None:
        """Before a save."""
        manifest.begin(self.folder(step))

    def complete(self, step: int) -> None:
        """After a save: the checkpoint is whole, and verl's tracker names it."""
        manifest.complete(self.folder(step), step)
        write_text(self.root / TRACKER, str(step))

    def discard(self, step: int) -> None:
        """Remove what a failed save left, as far as this node sees it."""
        shutil.rmtree(self.folder(step), ignore_errors=True)
        if self._tracked() != step:
            return
        whole = self._whole()
        if whole:
            write_text(self.root / TRACKER, str(whole[0]))
        else:
            (self.root / TRACKER).unlink()

    def superseded(self, step: int, keep: int) -> list[Path]:
        """Folders of steps before `step` that may go: all but the `keep` newest whole ones.

        Among them what broken saves left. What verl wrote without CARE is not touched.
        """
        earlier = [number for number in self._steps() if number < step]
        stays = [number for number in self._whole() if number < step][:keep]
        marks = (manifest.MANIFEST, manifest.UNFINISHED)
        return [
            folder
            for folder in (self.folder(number) for number in earlier if number not in stays)
            if any((folder / mark).exists() for mark in marks)
        ]

    def newest_whole(self) -> Path | None:
        """The checkpoint to resume from, the last one that was completed; None for a first start.

        Raises CheckpointError where there is no whole one, but traces of one that a first save
        broken off does not leave: a start from scratch would in time overwrite what is left.
        """
        tracked, whole, passed_over = self._tracked(), self._whole(), self._passed_over()
        reasons = "; ".join(f"{folder.name}: {why}" for folder, why in passed_over.items())
        begun = [folder for folder in passed_over if (folder / manifest.UNFINISHED).exists()]
        if not whole and len(begun) < len(passed_over):
            raise CheckpointError(
                f"there is no whole checkpoint in {self.root} ({reasons}). Bring one back, or "
                "start on the node that has it; or start from scratch, with "
                "trainer.resume_mode=disable or another trainer.default_local_dir"
            )
        if reasons:
            logger.warning("checkpoints passed over: %s", reasons)
        if tracked in whole[1:]:
            logger.warning(
                "%s names step %d, but step %d was completed later: going on from that. Another "
                "one is chosen by trainer.resume_mode=resume_path",
                self.root / TRACKER,
                tracked,
                whole[0],
            )
        return self.folder(whole[0]) if whole else None

    def describe_newest(self, but: int) -> str:
        """For an error: the newest whole checkpoint other than that of one step."""
        others = [self.folder(step) for step in self._whole() if step != but]
        return f"the newest whole one is {others[0]}" if others else "there is no other whole one"

    def _whole(self) -> list[int]:
        """Steps with a whole checkpoint, the last one completed first."""
        broken = self._passed_over()
        whole = [step for step in self._steps() if self.folder(step) not in broken]
        return sorted(whole, key=lambda step: manifest.saved_at(self.folder(step)), reverse=True)

    def _passed_over(self) -> dict[Path, str]:
        """Folders, there or only tracked, that are no whole checkpoint, and why."""
        tracked = self._tracked()
        known = {*self._steps(), *([] if tracked is None else [tracked])}
        problems = {
            self.folder(step): manifest.problem(self.folder(step), step == tracked)
            for step in sorted(known)
        }
        return {folder: why for folder, why in problems.items() if why is not None}

    def _steps(self) -> list[int]:
        """Steps that have a folder."""
        if not self.root.is_dir():
            return []
        matches = (_FOLDER.fullmatch(path.name) for path in self.root.iterdir() if path.is_dir())
        return [int(match[1]) for match in matches if match]

    def _tracked(self) -> int | None:
        """The step that verl's tracker names."""
        tracker = self.root / TRACKER
        text = tracker.read_text().strip() if tracker.exists() else ""
        # verl writes it in place; killed meanwhile, it leaves it empty.
        return int(text) if text.isdigit() else None
