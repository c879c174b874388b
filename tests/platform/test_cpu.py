"""The platform answers what verl asks it, through verl's own functions."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution, version

import pytest
import torch
import verl
from verl.plugin.platform import get_platform
from verl.utils import device, memory_utils
from verl.utils.checkpoint.checkpoint_manager import BaseCheckpointManager
from verl.utils.flops_counter import get_device_flops
from verl.utils.profiler.performance import _get_current_mem_info

from care_verl.platform import vllm_version
from care_verl.platform.cpu import PlatformCPU
from care_verl.platform.device import CpuDeviceModule

assert verl.__version__


def test_verl_runs_on_it() -> None:
    assert isinstance(get_platform(), PlatformCPU)
    assert device.get_device_name() == "cpu"
    assert device.get_resource_name() == "GPU"
    assert device.get_nccl_backend() == "gloo"
    assert not device.is_support_ipc()


def test_tensors_move_to_the_current_device() -> None:
    tensor = torch.ones(2)
    assert tensor.to(device.get_device_id()).device.type == "cpu"
    assert torch.device(device.get_device_id()) == torch.device("cpu")


def test_memory_is_reported_as_none() -> None:
    assert _get_current_mem_info() == ("0.00", "0.00", "0.00", "0.00")
    assert device.get_torch_device().max_memory_allocated() == 0
    memory_utils.aggressive_empty_cache(force_sync=True)
    memory_utils.reset_memory_stats()
    assert memory_utils.get_memory_info() == {}


def test_peak_flops_are_unknown_not_an_error() -> None:
    assert get_device_flops() > 0


def test_the_random_state_of_a_checkpoint_comes_back() -> None:
    state = BaseCheckpointManager.get_rng_state()
    drawn = torch.rand(3)
    BaseCheckpointManager.load_rng_state(state)
    assert torch.equal(torch.rand(3), drawn)


def test_the_device_module_passes_on_what_torch_has() -> None:
    module = CpuDeviceModule()
    assert module.synchronize is torch.cpu.synchronize
    assert module.memory_reserved(device=0) == 0
    module.empty_cache()
    with pytest.raises(AttributeError):
        _ = module.no_such_function


def test_seeding() -> None:
    get_platform().manual_seed(3)
    first = torch.rand(1)
    get_platform().manual_seed_all(3)
    assert torch.equal(first, torch.rand(1))


def test_rollout_variables_of_the_user_prevail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    assert get_platform().rollout_env_vars()["VLLM_CPU_KVCACHE_SPACE"] == "1"
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "4")
    assert get_platform().rollout_env_vars()["VLLM_CPU_KVCACHE_SPACE"] == "4"


def test_one_process_group_serves_both_halves_of_verls_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from verl.utils.distributed import (
        destroy_global_process_group,
        initialize_global_process_group,
        initialize_global_process_group_ray,
    )

    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DIST_INIT_METHOD", f"file://{tmp_path}/rendezvous")
    try:
        assert initialize_global_process_group() == (0, 0, 1)
        initialize_global_process_group_ray(timeout_second=None)
        assert torch.distributed.get_backend() == "cpu:gloo"
    finally:
        destroy_global_process_group()


def test_the_cpu_build_of_vllm_is_found_as_vllm() -> None:
    published = distribution("vllm-cpu")
    assert version("vllm") == f"{published.version}+cpu"
    assert distribution("vllm").metadata["Name"] == "vllm-cpu"
    assert list(distribution("vllm").entry_points) == list(published.entry_points)


def test_an_installed_vllm_is_found_before_the_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    finders = [type(finder) for finder in sys.meta_path]
    assert finders[-1] is vllm_version._AliasFinder
    vllm_version.alias_cpu_build()
    assert finders == [type(finder) for finder in sys.meta_path]


def test_without_either_build_vllm_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_version, "_PUBLISHED", "no-such-distribution")
    with pytest.raises(PackageNotFoundError):
        version("vllm")
