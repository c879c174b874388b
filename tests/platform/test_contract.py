"""A patch refuses what it does not recognise, and says what to do."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from care_verl.platform import (
    distributed,
    extensions,
    offload,
    vllm_buffers,
    vllm_seeds,
    vllm_store,
    vllm_weights,
)
from care_verl.platform.contract import ContractError, require_parameters, require_source


def sample(first: int, second: int) -> int:
    return first + second


def test_what_is_recognised_passes() -> None:
    require_source(sample, "first + second")
    require_parameters(sample, "first", "second")


def test_the_message_names_what_was_found_expected_and_to_be_done() -> None:
    with pytest.raises(ContractError) as refusal:
        require_parameters(sample, "first")
    message = str(refusal.value)
    assert f"{__name__}.sample" in message
    assert "expected parameters ('first',), found ('first', 'second')" in message
    assert "Install" in message


def test_the_installed_and_the_tried_release_are_named() -> None:
    function = _from("verl.utils.distributed")
    with pytest.raises(ContractError, match=r"\(verl [0-9.]+\).*Install verl==0\.9\.1"):
        require_source(function, "not in there")


def _from(module: str) -> Any:
    def function(timeout_second: int) -> None:
        raise NotImplementedError

    function.__module__ = module
    return function


@pytest.mark.parametrize(
    ("patch", "module"),
    [
        (
            distributed.use_gloo_once,
            SimpleNamespace(
                initialize_global_process_group=_from("verl.utils.distributed"),
                initialize_global_process_group_ray=_from("verl.utils.distributed"),
            ),
        ),
        (
            vllm_weights.keep_plain_weights,
            SimpleNamespace(
                dispatch_cpu_unquantized_gemm=_from("vllm.model_executor.layers.utils"),
                cpu_unquantized_gemm=_from("vllm.model_executor.layers.utils"),
            ),
        ),
        (
            vllm_buffers.keep_buffers,
            SimpleNamespace(
                DummyModelLoader=SimpleNamespace(
                    load_weights=_from("vllm.model_executor.model_loader.dummy_loader")
                )
            ),
        ),
        (
            vllm_seeds.spare_generators,
            SimpleNamespace(
                CPUModelRunner=SimpleNamespace(
                    sample_tokens=_from("vllm.v1.worker"), _bookkeeping_sync=_from("vllm.v1.worker")
                )
            ),
        ),
        (
            vllm_store.meet_on_loopback,
            SimpleNamespace(CPUWorker=SimpleNamespace(init_device=_from("vllm.v1.worker"))),
        ),
        (
            offload.offload_without_pinning,
            SimpleNamespace(
                FSDPEngine=SimpleNamespace(_build_fsdp_module=_from("verl.workers.engine.fsdp")),
                CPUOffloadPolicy=None,
            ),
        ),
    ],
)
def test_every_patch_refuses_a_changed_target(patch: Any, module: Any) -> None:
    before = dict(vars(module))
    with pytest.raises(ContractError, match=re.escape("care-verl patches v")):
        patch(module)
    assert vars(module) == before


def test_what_an_older_release_lacks_is_not_patched() -> None:
    extensions.report_misfit_as_import_error(SimpleNamespace())
    extensions.do_without_misfit(SimpleNamespace())


def test_both_forms_of_verls_initialiser_are_known() -> None:
    """0.9.1's is installed; the main branch of August 2026 asks for the one backend of a device."""
    import torch
    from verl.utils.distributed import get_device_name, get_nccl_backend, timedelta

    def from_env(timeout_second: int = 36000) -> Any:
        torch.distributed.init_process_group(
            get_nccl_backend(), timeout=timedelta(seconds=timeout_second)
        )
        local_rank, rank, world_size = 0, 0, 1
        return local_rank, rank, world_size

    def from_ray(timeout_second: Any = None, backend: Any = None) -> None:
        backend = backend or f"cpu:gloo,{get_device_name()}:{get_nccl_backend()}"

    module = SimpleNamespace(
        initialize_global_process_group=from_env, initialize_global_process_group_ray=from_ray
    )
    distributed.use_gloo_once(module)
    assert module.initialize_global_process_group is not from_env
    assert module.initialize_global_process_group_ray is not from_ray
