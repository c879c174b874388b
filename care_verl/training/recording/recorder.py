"""Writing the record of a run beside its training (the section `records` of its method).

The trainer waits while rows are read from the queue; a thread makes the files. At most one step
waits to be written. Whatever goes wrong there comes up in the next step, or at the end of the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.utils.debug import marked_timer

from care_verl.algorithm.config import RecordsConfig
from care_verl.common.logs import logger_of
from care_verl.common.vocabulary import vocab_bytes
from care_verl.platform.places import TRAINER
from care_verl.platform.seam import Seam
from care_verl.records.files import FOLDER
from care_verl.records.start import start_of_run
from care_verl.records.writing import drop_old_steps, write_run, write_step
from care_verl.training.recording.held_step import HeldStep, RecordedRows, StepTensors
from care_verl.training.recording.record_rows import record_rows
from care_verl.training.recording.samples_table import log_samples

logger = logger_of(__name__)


RELIES_ON = (
    Seam(
        f"{TRAINER}.fit",
        "the first step comes behind the one that was loaded",
        "self.global_steps += 1",
        "self.on_train_begin()",
        "batch = self.step(",
    ),
    Seam(
        f"{TRAINER}.fit",
        "all of a step's own metrics are known when the last are computed",
        "metrics.update(self._consume_sync_metrics())",
        "metrics.update(val_metrics)",
        "self._compute_metrics(batch, metrics",
        "metrics.pop(DAPO_FILTERED_REWARD_COUNTS_KEY, None)",
        "self.logger.log(data=metrics",
    ),
    Seam(
        f"{TRAINER}._init_tokenizer",
        "the trainer has the tokenizer",
        "self.tokenizer = model_config.tokenizer",
    ),
)


class Recorder:
    """Takes each step in three parts: `begin` while all its rows are there, `complete`, `finish`.

    folder: where the files go. vocabulary: the bytes of each token id. start: which start of the
    run this is, as `write_run` counts them.

    `timing` of the calls is verl's `timing_raw`: `records` is what the trainer waits,
    `records_thread` the CPU time that the thread used for the file it wrote last.
    """

    def __init__(
        self, folder: Path, settings: RecordsConfig, vocabulary: Sequence[bytes], start: int
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._vocabulary = vocabulary
        self._start = start
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="care-records")
        self._writing: Future[float] | None = None
        self._held: HeldStep | None = None
        self._tensors: StepTensors | None = None
        self._thread_seconds = 0.0

    def begin(
        self, step: int, partition_id: str, rows: RecordedRows, timing: MutableMapping[str, float]
    ) -> None:
        """Read all rows of a step that is to be recorded.

        Raises what the writing of the step before raised.
        """
        with marked_timer("records", timing):
            self.wait()
            self._tensors = rows.tensors
            if self._is_recorded(step):
                self._held = HeldStep.of(step, partition_id, rows)
        timing["records_thread"] = self._thread_seconds

    def complete(
        self,
        batch: KVBatchMeta,
        credit: Mapping[str, Mapping[str, Tensor]],
        timing: MutableMapping[str, float],
    ) -> None:
        """Add the log-probabilities and the credit of the rows that are updated."""
        with marked_timer("records", timing):
            for part in (self._held, self._tensors):
                if part is not None:
                    part.complete(batch, credit)

    def finish(self, metrics: Mapping[str, Any], tracking: Any) -> None:
        """Have the step written, with all its metrics; samples of it go to verl's `tracking`."""
        if self._held is not None or self._tensors is not None:
            self._writing = self._thread.submit(
                self._write, self._held, self._tensors, dict(metrics), tracking
            )
            self._held = self._tensors = None

    def wait(self) -> None:
        """Until what was finished is written. Raises what its writing raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._thread_seconds = writing.result()

    def close(self, failed: bool) -> None:
        """Wait, and end the thread. In a run that has `failed`, errors are logged only."""
        self._thread.shutdown(wait=True)
        if failed and self._writing is not None and (error := self._writing.exception()):
            logger.error("the last step could not be recorded: %s", error)
        elif not failed:
            self.wait()

    def _is_recorded(self, step: int) -> bool:
        every = self._settings.every
        return every > 0 and (step - 1) % every == 0

    def _write(
        self,
        held: HeldStep | None,
        tensors: StepTensors | None,
        metrics: Mapping[str, Any],
        tracking: Any,
    ) -> float:
        begin = time.thread_time()
        if tensors is not None:
            tensors.write()
        if held is not None:
            self._record(held, metrics, tracking)
        return time.thread_time() - begin

    def _record(self, held: HeldStep, metrics: Mapping[str, Any], tracking: Any) -> None:
        rows = record_rows(held, self._vocabulary, self._folder)
        write_step(self._folder, held.step, rows, metrics, self._start)
        if self._settings.keep:
            drop_old_steps(self._folder, held.step, self._settings.keep)
        log_samples(tracking, rows, held.step, self._settings.samples)


@contextmanager
def recording(
    config: DictConfig,
    settings: RecordsConfig,
    tokenizer: Any,
    first_step: int,
    tensors: bool = False,
) -> Iterator[Recorder | None]:
    """The recorder of a run that begins at `first_step`; None where nothing is to be written.

    tensors: the method keeps some of a step, whether or not steps are recorded. Its end waits for
    the last step's file.
    """
    if not settings.every and not tensors:
        yield None
        return
    folder = Path(settings.folder or Path(config.trainer.default_local_dir) / FOLDER)
    start = _start(folder, config, first_step) if settings.every else 0
    recorder = Recorder(folder, settings, vocab_bytes(tokenizer), start)
    failed = True
    try:
        yield recorder
        failed = False
    finally:
        recorder.close(failed)


def _start(folder: Path, config: DictConfig, first_step: int) -> int:
    """Write down this start of the run; which one it is."""
    folder.mkdir(parents=True, exist_ok=True)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return write_run(folder, start_of_run(plain, first_step, Path.cwd()))
