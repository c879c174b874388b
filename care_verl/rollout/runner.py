"""The one place that knows vLLM's V1 model runner, and the two methods of it that are hooked.

vLLM has no extension point that shows hidden states while a request is decoded. So two methods
of the *instance* are wrapped, and what they rely on is checked first:

- `execute_model` begins a step: its argument names new and finished requests.
- `sample_tokens` follows the forward pass: `execute_model_state.sample_hidden_states` holds one
  row a scheduled request, in the order of `input_batch.req_ids`, that of its last token fed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from vllm.v1.worker.gpu_model_runner import ExecuteModelState, GPUModelRunner

from care_verl.platform.contract import require_parameters, require_source
from care_verl.rollout.harvest import RationaleHarvest, Step
from care_verl.rollout.ticket import Ticket


def check_runner(runner: Any) -> None:
    """Raise unless `runner` is a V1 model runner as this module knows it.

    Raises:
        TypeError: another runner, such as vLLM's V2 model runner.
        ValueError: a runner in a mode that the harvest does not understand.
        ContractError: a vLLM release whose runner works differently.
    """
    kind: Any = type(runner)
    if not issubclass(kind, GPUModelRunner):
        raise TypeError(
            f"the rollout worker's model runner is {kind.__module__}.{kind.__qualname__}; the "
            f"rationale harvest needs {GPUModelRunner.__module__}.{GPUModelRunner.__qualname__}: "
            "start the server with VLLM_USE_V2_MODEL_RUNNER=0"
        )
    if runner.speculative_config is not None:
        raise ValueError(
            "speculative decoding is on in vLLM; the rationale harvest expects one token a step: "
            "remove the speculative configuration"
        )
    if runner.is_pooling_model:
        raise ValueError("vLLM serves a pooling model, which decodes no response")
    require_parameters(kind.sample_tokens, "self", "grammar_output")
    require_parameters(kind.execute_model, "self", "scheduler_output", "intermediate_tensors")
    require_source(
        kind.execute_model,
        "req_ids = self.input_batch.req_ids",
        "sample_hidden_states = hidden_states[logits_indices]",
        "self.execute_model_state = ExecuteModelState(",
    )
    require_source(
        kind._prepare_inputs,
        "self.query_start_loc.np[0] = 0",
        "self.query_start_loc.np[1 : num_reqs + 1] = cu_num_tokens",
        "logits_indices = query_start_loc[1:] - 1",
    )
    require_source(ExecuteModelState, "scheduler_output:", "sample_hidden_states:")


def hook(runner: Any, harvest: RationaleHarvest) -> None:
    """Let `harvest` see every step of a checked `runner`."""
    execute_model, sample_tokens = runner.execute_model, runner.sample_tokens

    def execute_and_track(scheduler_output: Any, intermediate_tensors: Any = None) -> Any:
        harvest.close(scheduler_output.finished_req_ids)
        _open_tagged(harvest, scheduler_output.scheduled_new_reqs)
        return execute_model(scheduler_output, intermediate_tensors)

    def sample_and_observe(grammar_output: Any) -> Any:
        if runner.execute_model_state is not None and not harvest.idle:
            _observe(harvest, runner)
        return sample_tokens(grammar_output)

    runner.execute_model = execute_and_track
    runner.sample_tokens = sample_and_observe


def _open_tagged(harvest: RationaleHarvest, new_requests: Any) -> None:
    for request in new_requests:
        sampling = request.sampling_params
        ticket = Ticket.from_extra_args(sampling.extra_args) if sampling else None
        if ticket is not None:
            harvest.open(request.req_id, ticket, len(request.prompt_token_ids))


@torch.inference_mode()
def _observe(harvest: RationaleHarvest, runner: Any) -> None:
    state, batch = runner.execute_model_state, runner.input_batch
    rows = len(batch.req_ids)
    begins = runner.query_start_loc.np[: rows + 1].astype(np.int64)
    step = Step(
        batch.req_ids,
        fed=batch.num_computed_tokens_cpu[:rows] + np.diff(begins) - 1,
        known=batch.num_tokens_no_spec[:rows],
    )
    # On the device: under asynchronous scheduling the host does not know the tokens yet.
    last = runner.query_start_loc.gpu[1 : rows + 1] - 1
    harvest.observe(step, runner.input_ids.gpu[last], state.sample_hidden_states)
