"""Groups, batches, ranks and token budgets. Expected values are worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from omegaconf import DictConfig

from care_verl.tools.doctor.lengths import Budgets, check_lengths
from care_verl.tools.doctor.resources import Wanted, check_machine, check_nodes_resources
from care_verl.tools.doctor.sizes import Sizes, check_sizes

from .told import all_well, the_error, the_warning

SIZES = Sizes(
    nodes=2,
    gpus_per_node=8,
    group=8,
    target=4,
    prompts=128,
    mini_batch=32,
    micro_batches={},
    tensor=2,
    rollout_data=1,
    sequence=1,
)
BUDGETS = Budgets(
    prompt=2048,
    response=2048,
    context=4096,
    stages={"actor.ppo_max_token_len_per_gpu": 16384},
    batched=8192,
    sequences=256,
    chunked=True,
    reflection=64,
    twice={"prompt_length": (2048, 2048), "response_length": (2048, 2048)},
)


def test_sizes_that_fit_are_told_in_one_line() -> None:
    (finding,) = check_sizes(SIZES)
    assert "128 prompts x G = 8 are 1024 rows a step, 4 optimizer steps" in finding.found
    assert "16 GPUs in 8 rollout replicas" in finding.found


@pytest.mark.parametrize("name", ["mini_batch", "tensor", "gpus_per_node"])
def test_a_number_that_is_not_positive(name: str) -> None:
    assert "to 1 or more" in the_error(check_sizes(replace(SIZES, **{name: 0})), "= 0").change  # type: ignore[arg-type]


def test_more_negatives_than_rollouts() -> None:
    finding = the_warning(check_sizes(replace(SIZES, target=8)), "K = 8", "at most 7")
    assert "algorithm.care.K=7" in finding.change
    assert "rollout.n=9" in finding.change
    assert all_well(check_sizes(replace(SIZES, target=7)))


def test_a_group_of_one() -> None:
    assert "n=8" in the_error(check_sizes(replace(SIZES, group=1, target=None)), "n = 1").change


def test_a_batch_that_does_not_divide() -> None:
    finding = the_error(check_sizes(replace(SIZES, prompts=100)), "train_batch_size = 100")
    assert "data.train_batch_size=128" in finding.change
    assert "ppo_mini_batch_size=25" in finding.change


@pytest.mark.parametrize(("tensor", "fitting"), [(3, 2), (16, 8)])
def test_tensor_parallel_ranks_that_do_not_fit_a_node(tensor: int, fitting: int) -> None:
    finding = the_error(check_sizes(replace(SIZES, tensor=tensor)), f"{tensor} x 1 GPUs")
    assert f"tensor_model_parallel_size={fitting} " in finding.change


def test_sequence_parallel_ranks_that_do_not_divide() -> None:
    finding = the_error(check_sizes(replace(SIZES, sequence=3)), "does not divide 16 GPUs")
    assert finding.change.endswith("ulysses_sequence_parallel_size=2")


def test_rows_of_an_optimizer_step_over_the_ranks() -> None:
    """4 prompts x 6 rollouts are 24 rows; 16 ranks need a multiple of 8 prompts."""
    sizes = replace(SIZES, group=6, mini_batch=4)
    assert "multiple of 8" in the_error(check_sizes(sizes), "4 x 6 rows", "16 ranks").change


def test_micro_batches_that_do_not_divide() -> None:
    """32 x 8 rows over 16 ranks are 16 rows a rank."""
    sizes = replace(SIZES, micro_batches={"a.micro": 6, "b.micro": 8})
    assert "set a.micro=4" in the_error(check_sizes(sizes), "a.micro = 6", "16 rows").change


def test_budgets_that_fit() -> None:
    assert all_well(check_lengths(BUDGETS))


def test_a_row_longer_than_the_context() -> None:
    finding = the_error(check_lengths(replace(BUDGETS, context=3000)), "4096 tokens", "3000")
    assert "max_model_len=4096" in finding.change


def test_no_context_is_a_warning() -> None:
    assert "max_model_len=4096" in the_warning(check_lengths(replace(BUDGETS, context=None))).change


def test_a_forward_pass_shorter_than_a_row() -> None:
    budgets = replace(BUDGETS, stages={"actor.ppo_max_token_len_per_gpu": 4000})
    assert "4096 or more" in the_error(check_lengths(budgets), "takes 4000 tokens").change


def test_a_scheduler_that_takes_too_little() -> None:
    finding = the_error(check_lengths(replace(BUDGETS, batched=128)), "less than max_num_seqs")
    assert "max_num_batched_tokens=4096" in finding.change
    unchunked = replace(BUDGETS, chunked=False, batched=2048)
    assert "enable_chunked_prefill" in the_error(check_lengths(unchunked), "in chunks").change


def test_no_room_for_a_reflection() -> None:
    finding = the_error(check_lengths(replace(BUDGETS, reflection=2048)), "min_new_tokens = 2048")
    assert "rgr.mode=off" in finding.change


def test_two_settings_of_one_length_that_differ(completed: Callable[..., DictConfig]) -> None:
    budgets = Budgets.of(completed("data.max_prompt_length=32"))
    finding = the_error(check_lengths(budgets), "data.max_prompt_length = 32", "prompt_length = 64")
    assert "leave actor_rollout_ref.rollout.prompt_length out" in finding.change


def test_the_numbers_are_those_of_the_configuration(completed: Callable[..., DictConfig]) -> None:
    """The embedded recipe: 32 prompts, mini-batches of 16, G = 8, 64 + 48 tokens, one rank."""
    config = completed()
    sizes, budgets = Sizes.of(config), Budgets.of(config)
    assert (sizes.prompts, sizes.mini_batch, sizes.group, sizes.gpus) == (32, 16, 8, 1)
    assert (sizes.target, sizes.micro_batches) == (4, {})
    assert (budgets.row, budgets.context, budgets.reflection) == (112, 128, 14)
    assert set(budgets.stages.values()) == {4096, 8192}
    assert all_well([*check_sizes(sizes), *check_lengths(budgets)])


def test_resources_that_placement_would_wait_for(completed: Callable[..., DictConfig]) -> None:
    assert all_well(check_machine(completed(), gpus_here=0))
    few = check_machine(completed("ray_kwargs.ray_init.num_cpus=2"), gpus_here=0)
    assert "num_cpus=8" in the_error(few, "Ray has 2 CPUs").change
    none = check_machine(completed("ray_kwargs.ray_init.num_gpus=0"), gpus_here=0)
    assert "num_gpus" in the_error(none, "n_gpus_per_node = 1").change


def test_enough_nodes_must_have_what_one_needs() -> None:
    nodes = {"a": {"GPU": 8.0, "CPU": 64.0}, "b": {"GPU": 4.0, "CPU": 64.0}}
    assert check_nodes_resources(Wanted(1, 8), nodes) == []
    assert "on b" in the_error(check_nodes_resources(Wanted(2, 8), nodes), "4 GPUs").found
