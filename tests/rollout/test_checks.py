"""Configurations that the harvest refuses, in the driver and without vLLM."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from care_verl.rollout import checks
from care_verl.rollout.checks import V2_RUNNER_ENV, check_rollout_config

PLAIN = {
    "name": "vllm",
    "tensor_model_parallel_size": 2,
    "data_parallel_size": 1,
    "n_gpus_per_node": 8,
    "mtp": {"enable": False, "enable_rollout": False},
    "disaggregation": {"enabled": False},
    "engine_kwargs": {"vllm": {}},
}


def config(**changes: Any) -> DictConfig:
    return OmegaConf.create({**PLAIN, **changes})


def test_an_ordinary_configuration_passes() -> None:
    check_rollout_config(config())
    check_rollout_config(config(data_parallel_size=4))
    check_rollout_config(config(tensor_model_parallel_size=16))
    harmless = {"pipeline_parallel_size": 1, "enable_return_routed_experts": False}
    check_rollout_config(config(engine_kwargs={"vllm": harmless}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "sglang"}, r"rollout\.name = 'sglang'"),
        ({"mtp": {"enable": True, "enable_rollout": True}}, r"rollout\.mtp\.enable_rollout"),
        (
            {"engine_kwargs": {"vllm": {"speculative_config": {"method": "ngram"}}}},
            r"engine_kwargs\.vllm\.speculative_config",
        ),
        (
            {"engine_kwargs": {"vllm": {"worker_extension_cls": "a.B"}}},
            r"worker_extension_cls = 'a\.B'",
        ),
        (
            {"engine_kwargs": {"vllm": {"pipeline-parallel-size": 2}}},
            r"engine_kwargs\.vllm\.pipeline-parallel-size = 2",
        ),
        ({"pipeline_model_parallel_size": 2}, r"rollout\.pipeline_model_parallel_size = 2"),
        ({"enable_rollout_routing_replay": True}, r"rollout\.enable_rollout_routing_replay = True"),
        (
            {"engine_kwargs": {"vllm": {"enable_return_routed_experts": True}}},
            r"engine_kwargs\.vllm\.enable_return_routed_experts = True",
        ),
        ({"logprobs_mode": "raw_logits"}, r"rollout\.logprobs_mode = 'raw_logits'"),
        (
            {"engine_kwargs": {"vllm": {"logprobs_mode": "processed_logits"}}},
            r"engine_kwargs\.vllm\.logprobs_mode = 'processed_logits'",
        ),
        ({"disaggregation": {"enabled": True}}, r"rollout\.disaggregation\.enabled"),
        ({"data_parallel_size": 8}, r"data_parallel_size = 8 spreads one replica of 16"),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_rollout_config(config(**changes))


def test_a_forced_v2_runner_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(V2_RUNNER_ENV, "0")
    check_rollout_config(config())
    monkeypatch.setenv(V2_RUNNER_ENV, "1")
    with pytest.raises(ValueError, match=V2_RUNNER_ENV):
        check_rollout_config(config())


def test_the_drivers_modules_do_not_import_vllm() -> None:
    modules = "checks, settings, watchdog"
    code = f"import sys; from care_verl.rollout import {modules}; assert 'vllm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_model_runner_is_refused_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = tmp_path / "vllm" / checks.RUNNER_FILE
    runner.parent.mkdir(parents=True)
    (tmp_path / "vllm" / "__init__.py").touch()
    runner.write_text("class AnotherRunner: ...\n")
    monkeypatch.setattr(
        checks,
        "find_spec",
        lambda name: ModuleSpec(name, None, is_package=True),
    )
    with pytest.raises(ValueError, match="vLLM is not installed"):
        checks.check_runner_source()
    spec = ModuleSpec("vllm", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "vllm")]
    monkeypatch.setattr(checks, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match="ExecuteModelState.*install vLLM 0.24 to 0.32"):
        checks.check_runner_source()


def test_the_installed_model_runner_is_known() -> None:
    checks.check_runner_source()
