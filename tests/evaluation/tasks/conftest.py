"""The benchmarks' files, and what only LMMs-Eval's environment can tell, once for all tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from care_verl.tools.evaluation.data import FOLDER
from care_verl.tools.evaluation.environment import lmms_eval_python
from tests.benchmarks.upstream_scores import ROOT

from .tables import write_benchmarks


@pytest.fixture(scope="session")
def benchmark_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with small files of all benchmarks, where `evaluation.data` looks for them."""
    root = tmp_path_factory.mktemp("benchmarks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(write_benchmarks(root / "files")))
        patch.setenv("HF_DATASETS_CACHE", str(root / "cache"))
        # Read from the environment when the package was imported, which it was.
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", root / "cache")
        yield root / "files"


@pytest.fixture(scope="session")
def lmms_python() -> Path:
    """Python of LMMs-Eval's environment, which is made in the cache if it is not there yet."""
    return lmms_eval_python()


@pytest.fixture(scope="session")
def inside_folder(
    lmms_python: Path, benchmark_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What `inside.py` wrote in LMMs-Eval's environment, about the small files."""
    folder = tmp_path_factory.mktemp("inside")
    script = Path(__file__).with_name("inside.py")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [str(lmms_python), str(script), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return folder


@pytest.fixture(scope="session")
def inside(inside_folder: Path) -> dict[str, Any]:
    """The report of `inside.py`."""
    report: dict[str, Any] = json.loads((inside_folder / "report.json").read_text())
    return report
