"""vLLM's model runner is the one that was hooked, and another one is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.v1.worker.cpu_model_runner import CPUModelRunner
from vllm.v1.worker.gpu_model_runner import GPUModelRunner

from care_verl.platform.contract import ContractError
from care_verl.rollout.runner import check_runner, hook
from care_verl.rollout.ticket import Ticket


def runner_of(kind: type, **attributes: Any) -> Any:
    """An instance that was never initialised, with what the check looks at."""
    runner = object.__new__(kind)
    runner.__dict__.update(speculative_config=None, is_pooling_model=False, **attributes)
    return runner


@pytest.mark.parametrize("kind", [GPUModelRunner, CPUModelRunner])
def test_the_installed_runners_are_as_expected(kind: type) -> None:
    check_runner(runner_of(kind))


def test_another_runner_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"SimpleNamespace; .* VLLM_USE_V2_MODEL_RUNNER=0"):
        check_runner(SimpleNamespace())


def test_speculative_decoding_is_refused() -> None:
    runner = runner_of(GPUModelRunner)
    runner.speculative_config = object()
    with pytest.raises(ValueError, match="speculative decoding"):
        check_runner(runner)


def test_a_runner_that_works_otherwise_is_refused() -> None:
    class Changed(GPUModelRunner):
        def sample_tokens(self, grammar_output: Any, more: Any) -> None: ...

    with pytest.raises(ContractError, match="sample_tokens"):
        check_runner(runner_of(Changed))


class Recorder:
    """Stands in for the harvest."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.idle = True

    def open(self, *call: Any) -> None:
        self.calls.append(("open", *call))

    def close(self, request_ids: Any) -> None:
        self.calls.append(("close", *request_ids))

    def observe(self, *call: Any) -> None:
        self.calls.append(("observe", *call))


def test_untagged_requests_are_not_looked_at() -> None:
    recorder: Any = Recorder()
    runner = SimpleNamespace(
        execute_model=lambda output, tensors: None,
        sample_tokens=lambda grammar: "sampled",
        execute_model_state=object(),
    )
    hook(runner, recorder)
    request = SimpleNamespace(
        req_id="a", sampling_params=SimpleNamespace(extra_args=None), prompt_token_ids=[1]
    )
    runner.execute_model(SimpleNamespace(finished_req_ids=[], scheduled_new_reqs=[request]))
    assert runner.sample_tokens(None) == "sampled"
    assert recorder.calls == [("close",)]


def test_tagged_requests_are_opened_with_their_prompts_length() -> None:
    recorder: Any = Recorder()
    runner = SimpleNamespace(execute_model=lambda output, tensors: "ran", sample_tokens=None)
    hook(runner, recorder)
    ticket = Ticket.draw(True)
    sampling = SimpleNamespace(extra_args=ticket.as_extra_args())
    request = SimpleNamespace(req_id="a", sampling_params=sampling, prompt_token_ids=[1, 2, 3])
    step = SimpleNamespace(finished_req_ids={"b"}, scheduled_new_reqs=[request])
    assert runner.execute_model(step) == "ran"
    assert recorder.calls == [("close", "b"), ("open", "a", ticket, 3)]
