"""`ray_job.sh` up to what it gives to `ray job submit`, which is a stand-in here."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT

SCRIPT = ROOT / "examples" / "ray_job.sh"
RAY = """#!/bin/sh
test -d "$4" && printf '%s\\n' "$@" > {record}
exit {status}
"""


@pytest.mark.parametrize("status", [0, 1])
def test_what_is_submitted(tmp_path: Path, status: int) -> None:
    """The exit status is that of `ray job submit`, which is that of the job."""
    ray = tmp_path / "ray"
    ray.write_text(RAY.format(record=tmp_path / "given", status=status))
    ray.chmod(0o755)
    done = subprocess.run(
        [str(SCRIPT), "+recipe=[care_qwen2_5_vl_7b,hardware/nodes]", "data.seed=3"],
        env={
            "PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]),
            "TRAIN": "/shared/train.parquet",
            "TEST": "/shared/test.parquet",
            "RUN": "/shared/r",
        },
    )
    assert done.returncode == status
    *options, command = (tmp_path / "given").read_text().split("\n--\n")
    job, submit, working_dir, folder, runtime_env, values = options[0].split("\n")
    assert (job, submit, working_dir, runtime_env) == (
        *("job", "submit", "--working-dir", "--runtime-env-json"),
    )
    assert not Path(folder).exists()
    assert json.loads(values).keys() == {"env_vars"}
    assert command.split() == [
        *["python", "-m", "verl.trainer.main_ppo"],
        *["data.train_files=/shared/train.parquet", "data.val_files=/shared/test.parquet"],
        *["trainer.default_local_dir=/shared/r", "trainer.resume_mode=auto"],
        *["+recipe=[care_qwen2_5_vl_7b,hardware/nodes]", "data.seed=3"],
    ]
