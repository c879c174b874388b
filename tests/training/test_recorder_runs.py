"""The record of a run: its start, its end however it ends, its trackers; none where it is off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from care_verl.algorithm import CareConfig
from care_verl.algorithm.config import RecordsConfig
from care_verl.records.files import RunRecord
from care_verl.training.recording import recorder as recorder_module
from care_verl.training.recording.recorder import recording
from care_verl.training.run.disk import UnwritableError, explaining_disks

from .recorded import (
    CARE_K2,
    full_disk,
    run_config,
    train,
)
from .samples import MemoryQueue
from .trainers import care_trainer, workers

pytestmark = pytest.mark.usefixtures("no_metrics_of_verl")


def trained(config: DictConfig, queue: MemoryQueue, tokenizer: Any, steps: int) -> None:
    with explaining_disks(config), recording(config, CARE_K2.records, tokenizer, 1) as recorder:
        trainer = care_trainer(
            config, settings=CARE_K2, actor_rollout_wg=workers(), _recorder=recorder
        )
        for step in range(1, steps + 1):
            train(trainer, queue, step)


@pytest.mark.parametrize("steps", [1, 3], ids=["the last step", "an earlier step"])
def test_a_full_disk_ends_the_run(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, steps: int
) -> None:
    """At the end of the run, or before the next step trains."""
    full_disk(tmp_path / "records", 1)
    with pytest.raises(UnwritableError) as raised:
        trained(run_config(tmp_path), queue, tokenizer, steps)
    assert "No space left on device" in str(raised.value)
    assert f"trainer.default_local_dir = {tmp_path} (" in str(raised.value)
    assert not (tmp_path / "records" / "step_000001.parquet").exists()
    assert not (tmp_path / "records" / "step_000002.parquet").exists()


def dying(config: DictConfig, queue: MemoryQueue, tokenizer: Any) -> None:
    """A run that dies of something else behind its first step."""
    with explaining_disks(config), recording(config, CARE_K2.records, tokenizer, 1) as recorder:
        train(care_trainer(config, actor_rollout_wg=workers(), _recorder=recorder), queue)
        raise KeyError("died")


def test_a_run_that_dies_keeps_its_own_error(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    full_disk(tmp_path / "records", 1)
    with pytest.raises(KeyError, match="died"):
        dying(run_config(tmp_path), queue, tokenizer)
    assert "the last step could not be recorded: [Errno 28]" in caplog.text


def test_a_run_that_dies_has_its_last_step_written(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any
) -> None:
    with pytest.raises(KeyError, match="died"):
        dying(run_config(tmp_path), queue, tokenizer)
    assert [step.step for step in RunRecord.find(tmp_path)] == [1]


def test_the_start_of_a_run_is_recorded(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained(run_config(tmp_path), queue, tokenizer, steps=1)
    run = RunRecord.find(tmp_path)
    (start,) = run.starts()
    assert run.folder == tmp_path / "records"
    assert start["config"]["trainer"]["default_local_dir"] == str(tmp_path)
    assert start["config"]["runtime"]["env_vars"]["WANDB_API_KEY"] == "(left out)"
    assert (start["first_step"], start["seeds"]) == (1, {"data.seed": 3})
    assert {"verl", "torch", "python"} <= set(start["versions"])


def test_a_resumed_run_overwrites_what_it_repeats(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any
) -> None:
    """Steps 1 to 3, then again from 2: until it is repeated, 3 is no part of the run."""
    config = run_config(tmp_path)
    trained(config, queue, tokenizer, steps=3)
    with recording(config, CARE_K2.records, tokenizer, 2) as recorder:
        trainer = care_trainer(config, actor_rollout_wg=workers(), _recorder=recorder)
        train(trainer, queue, step=2)
    run = RunRecord.find(tmp_path)
    assert [(step.step, step.start) for step in run] == [(1, 1), (2, 2)]
    assert [start["first_step"] for start in run.starts()] == [1, 2]


def test_off_is_off(tmp_path: Path, tokenizer: Any) -> None:
    off = RecordsConfig(every=0)
    with recording(run_config(tmp_path), off, tokenizer, 1) as recorder:
        assert recorder is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_its_own(tmp_path: Path, tokenizer: Any) -> None:
    elsewhere = RecordsConfig(folder=str(tmp_path / "a" / "b"))
    with recording(run_config(tmp_path), elsewhere, tokenizer, 1):
        pass
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["run_001.parquet"]


def test_samples_of_a_step_go_to_the_runs_trackers(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the trackers make of them is in `test_samples_table`."""
    logged: list[tuple[Any, int, int, int]] = []
    monkeypatch.setattr(
        recorder_module,
        "log_samples",
        lambda tracking, rows, step, groups: logged.append((tracking, len(rows), step, groups)),
    )
    care = CareConfig(K=2, records=RecordsConfig(samples=3))
    with recording(run_config(tmp_path), care.records, tokenizer, 1) as recorder:
        trainer = care_trainer(
            run_config(tmp_path), settings=care, actor_rollout_wg=workers(), _recorder=recorder
        )
        trainer.logger = "the run's tracking"
        train(trainer, queue, step=1)
    ((tracking, rows, step, groups),) = logged
    assert (tracking, step, groups) == ("the run's tracking", 1, 3)
    assert rows > 0
