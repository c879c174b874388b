"""What a user reads when a file cannot be written; a full disk itself is in the e2e tests."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from care_verl.training.run.disk import UnwritableError, explaining_disks


def test_a_full_disk_names_the_runs_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "metrics.jsonl"))
    folders = {"default_local_dir": str(tmp_path / "not" / "there"), "rollout_data_dir": None}
    config = OmegaConf.create({"trainer": folders})
    with pytest.raises(UnwritableError) as raised, explaining_disks(config):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    message = str(raised.value)
    assert "No space left on device" in message
    assert f"trainer.default_local_dir = {tmp_path / 'not' / 'there'} (" in message
    assert "MiB free" in message
    assert f"VERL_FILE_LOGGER_PATH = {tmp_path / 'metrics.jsonl'} (" in message
    assert "rollout_data_dir" not in message


def test_errors_of_another_kind_pass() -> None:
    config = OmegaConf.create({"trainer": {}})
    with pytest.raises(ConnectionResetError), explaining_disks(config):
        raise ConnectionResetError(errno.ECONNRESET, "gone")
    with pytest.raises(OSError, match="no number"), explaining_disks(config):
        raise OSError("no number")
