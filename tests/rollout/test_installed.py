"""What is read from the files of a vLLM: of the installed one, and of folders made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from care_verl.rollout import installed
from care_verl.rollout.checks import check_rollout_config
from care_verl.rollout.installed import RunnerChoice, check_dummy_weights
from care_verl.tools.doctor.finding import Level
from care_verl.tools.doctor.model_runner import check_model_runner, judge

from .test_checks import config

BY_ARCHITECTURE = """
    def use_v2_model_runner(self) -> bool:
        if not self._is_default_v2_model_runner_model():
            return False

    def another(self) -> None: ...
"""
BY_FEATURE = """
    def use_v2_model_runner(self) -> bool:
        return not self._get_v2_model_runner_unsupported_features()

    def another(self) -> None:
        if not self._is_default_v2_model_runner_model():
            return
"""


def vllm(folder: Path, **files: str) -> Path:
    """A vLLM with these files and contents."""
    names = {
        "v1": installed.V1_RUNNER,
        "v2": installed.V2_RUNNER,
        "config": "config/vllm.py",
        "loader": installed.DUMMY_LOADER,
    }
    for name, content in files.items():
        path = folder / names[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "by_itself"),
    [
        ({"v1": "#"}, "V1, and has no other"),
        ({"v1": "#", "v2": "#", "config": BY_ARCHITECTURE}, "V2 for some architectures, V1 for"),
        ({"v1": "#", "v2": "#", "config": BY_FEATURE}, "V2 wherever V2 can"),
        ({"v1": "#", "v2": "#", "config": "#"}, "one that care-verl cannot tell"),
    ],
)
def test_what_a_release_takes(tmp_path: Path, files: dict[str, str], by_itself: str) -> None:
    choice = RunnerChoice.of(vllm(tmp_path, **files))
    assert choice.hookable
    assert choice.by_itself.startswith(by_itself)
    finding = judge("vllm 0.99", choice)
    assert finding.level is Level.OK
    assert f"on a GPU vllm 0.99 by itself takes {by_itself}" in finding.found
    assert "VLLM_USE_V2_MODEL_RUNNER=0" in finding.found


def test_a_release_with_v2_alone_is_an_error(tmp_path: Path) -> None:
    choice = RunnerChoice.of(vllm(tmp_path, v2="#", config=BY_FEATURE))
    finding = judge("vllm 0.99", choice)
    assert finding.level is Level.ERROR
    assert "takes model runner V2, and has no other" in finding.found


def test_the_installed_release_can_be_hooked() -> None:
    (finding,) = check_model_runner()
    assert finding.level is Level.OK
    assert "cannot tell" not in finding.found


@pytest.mark.parametrize("loader", ["", "class DummyModelLoader: ..."])
def test_dummy_weights_of_an_unknown_loader_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str
) -> None:
    folder = vllm(tmp_path, loader=loader) if loader else tmp_path
    monkeypatch.setattr(installed, "vllm_folder", lambda: folder)
    with pytest.raises(ValueError, match=r"rollout\.load_format = 'dummy'.*load_format=auto"):
        check_rollout_config(config(load_format="dummy"))
    check_dummy_weights("auto")


def test_dummy_weights_of_the_installed_loader_pass() -> None:
    check_rollout_config(config(load_format="dummy"))
    check_dummy_weights("dummy_dtensor")
