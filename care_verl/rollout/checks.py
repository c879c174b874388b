"""What the rationale harvest cannot work with, found before Ray or vLLM start.

Reads `actor_rollout_ref.rollout`, as the driver's `DictConfig` or verl's dataclass. What only
shows in the worker is checked there (`care_verl.rollout.runner`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from care_verl.rollout.installed import check_dummy_weights

V2_RUNNER_ENV = "VLLM_USE_V2_MODEL_RUNNER"

RUNNER_FILE = "v1/worker/gpu_model_runner.py"
RUNNER_SOURCE = (
    "class ExecuteModelState(",
    "def sample_tokens(",
    "sample_hidden_states = hidden_states[logits_indices]",
)


def check_rollout_config(rollout: Any) -> None:
    """Raise ValueError for the first setting of `rollout` that rules the harvest out."""
    _require_vllm(rollout)
    _refuse_speculation(rollout)
    _refuse_split_engines(rollout)
    _refuse_stages(rollout)
    _refuse_routing_replay(rollout)
    _refuse_logits(rollout)
    _refuse_other_extension(rollout)
    check_runner_choice()
    check_runner_source()
    check_dummy_weights(str(_get(rollout, "load_format") or ""))


def check_runner_source() -> None:
    """Raise ValueError unless the installed vLLM has the model runner that the harvest hooks.

    Reads the file: importing vLLM in the driver would take seconds and memory.
    """
    vllm = find_spec("vllm")
    if vllm is None or not vllm.submodule_search_locations:
        raise ValueError(
            "rollout.name = 'vllm', but vLLM is not installed here; install care-verl with its "
            "extra `gpu` or `cpu`"
        )
    path = Path(vllm.submodule_search_locations[0]) / RUNNER_FILE
    source = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [fragment for fragment in RUNNER_SOURCE if fragment not in source]
    if missing:
        raise ValueError(
            f"the installed vLLM's model runner ({path}) is not one that the rationale harvest "
            f"knows: expected {missing[0]!r} in it; install vLLM 0.24 to 0.32"
        )


def check_runner_choice() -> None:
    """Raise ValueError if this process forces vLLM's V2 model runner, which cannot be hooked."""
    forced = os.environ.get(V2_RUNNER_ENV, "").strip().lower()
    if forced not in ("", "0", "false"):
        raise ValueError(
            f"environment variable {V2_RUNNER_ENV} = {forced!r}; the rationale harvest hooks "
            "vLLM's V1 model runner and selects it itself: unset the variable"
        )


def _require_vllm(rollout: Any) -> None:
    name = _get(rollout, "name")
    if name != "vllm":
        raise ValueError(
            f"rollout.name = {name!r}; expected 'vllm': rationale embeddings are harvested inside "
            "vLLM's worker"
        )


def _refuse_speculation(rollout: Any) -> None:
    remedy = "a step then feeds several tokens, some of them rejected later; switch it off"
    if _get(rollout, "mtp.enable") and _get(rollout, "mtp.enable_rollout"):
        raise ValueError(f"rollout.mtp.enable_rollout = True is speculative decoding: {remedy}")
    given = engine_value(rollout, "speculative_config")
    if given is not None:
        raise ValueError(f"{given[0]} = {given[1]!r}: {remedy}")


def _refuse_split_engines(rollout: Any) -> None:
    if _get(rollout, "disaggregation.enabled"):
        raise ValueError(
            "rollout.disaggregation.enabled = True decodes in another server than the one asked; "
            "the harvest answers through the server that was asked: set it to False"
        )
    ranks = int(_get(rollout, "data_parallel_size") or 1)
    engine = ranks * int(_get(rollout, "tensor_model_parallel_size") or 1)
    node = int(_get(rollout, "n_gpus_per_node") or engine)
    if ranks > 1 and engine > node:
        raise ValueError(
            f"rollout.data_parallel_size = {ranks} spreads one replica of {engine} workers over "
            f"nodes of {node}; embeddings reach the server from its own node only: use "
            "data_parallel_size=1 (verl then starts more replicas)"
        )


def _refuse_stages(rollout: Any) -> None:
    stages = ("rollout.pipeline_model_parallel_size", _get(rollout, "pipeline_model_parallel_size"))
    for key, value in (stages, engine_value(rollout, "pipeline_parallel_size") or stages):
        if int(value or 1) > 1:
            raise ValueError(
                f"{key} = {value!r} keeps several batches in flight, where the harvest expects "
                "one, and verl counts workers without stages; set it to 1"
            )


def _refuse_routing_replay(rollout: Any) -> None:
    asked = (
        "rollout.enable_rollout_routing_replay",
        _get(rollout, "enable_rollout_routing_replay"),
    )
    for key, value in (asked, engine_value(rollout, "enable_return_routed_experts") or asked):
        if value:
            raise ValueError(
                f"{key} = {value!r}: a reflected row would be scored with the experts of the row "
                "that it was reflected from; set it to False"
            )


def _refuse_logits(rollout: Any) -> None:
    asked = ("rollout.logprobs_mode", _get(rollout, "logprobs_mode"))
    key, mode = engine_value(rollout, "logprobs_mode") or asked
    if str(mode).endswith("_logits"):
        raise ValueError(
            f"{key} = {mode!r} has vLLM return logits, which the rescue would take for "
            "log-probabilities; use 'processed_logprobs'"
        )


def _refuse_other_extension(rollout: Any) -> None:
    given = engine_value(rollout, "worker_extension_cls")
    if given is not None:
        raise ValueError(
            f"{given[0]} = {given[1]!r} would replace the worker extension that installs the "
            "harvest; remove it"
        )


def engine_value(rollout: Any, name: str) -> tuple[str, Any] | None:
    """Key and value of what is handed to vLLM as `name`, past verl's own keys; None if nothing is.

    verl makes command-line options of these, so that `-` may stand for `_`.
    """
    for spelled in (name, name.replace("_", "-")):
        value = _get(rollout, f"engine_kwargs.vllm.{spelled}")
        if value is not None:
            return f"rollout.engine_kwargs.vllm.{spelled}", value
    return None


def _get(config: Any, path: str) -> Any:
    """The value at a dotted path of mappings and attributes; None where any part is missing."""
    for name in path.split("."):
        if config is None:
            return None
        config = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
    return config
