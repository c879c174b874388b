"""The numbers of a configuration that have to fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.method import RunMethod

CHECK = Check("numbers")


@dataclass(frozen=True)
class Sizes:
    """Groups, batches and ranks of a run.

    group: G, rollouts of a prompt. target: K, hard negatives wanted; None without anchors.
    prompts: of a step. mini_batch: prompts of an optimizer step. micro_batches: fixed rows of a
    forward pass, by key; empty where batches are cut by tokens. tensor, sequence: ranks that share
    a replica of the rollout, or a row in the update. fills_up: rows that do not divide are filled
    up with real ones.
    """

    nodes: int
    gpus_per_node: int
    group: int
    target: int | None
    prompts: int
    mini_batch: int
    micro_batches: dict[str, int]
    tensor: int
    rollout_data: int
    sequence: int
    fills_up: bool = False

    @classmethod
    def of(cls, config: DictConfig) -> Sizes:
        """Those of a completed configuration."""
        roles, trainer = config.actor_rollout_ref, config.trainer
        actor, rollout = roles.actor, roles.rollout
        micro = {} if actor.use_dynamic_bsz else _micro_batches(config)
        method = RunMethod.of(config)
        return cls(
            nodes=int(trainer.nnodes),
            gpus_per_node=int(trainer.n_gpus_per_node),
            group=int(rollout.n),
            target=method.hard_negatives if method else None,
            prompts=int(config.data.train_batch_size),
            mini_batch=int(actor.ppo_mini_batch_size),
            micro_batches=micro,
            tensor=int(rollout.tensor_model_parallel_size),
            rollout_data=int(rollout.data_parallel_size),
            fills_up=method is not None and method.wiring.fills_up,
            sequence=int(
                OmegaConf.select(actor, "fsdp_config.ulysses_sequence_parallel_size") or 1
            ),
        )

    @property
    def gpus(self) -> int:
        """All of them."""
        return self.nodes * self.gpus_per_node

    @property
    def ranks(self) -> int:
        """Data-parallel ranks of the update."""
        return max(1, self.gpus // self.sequence)


def _micro_batches(config: DictConfig) -> dict[str, int]:
    """Fixed micro-batches per GPU, by key."""
    keys = ("actor.ppo_micro_batch_size_per_gpu", "rollout.log_prob_micro_batch_size_per_gpu")
    if config.actor_rollout_ref.actor.use_kl_loss:
        keys += ("ref.log_prob_micro_batch_size_per_gpu",)  # type: ignore[assignment]
    values: dict[str, Any] = {
        f"actor_rollout_ref.{key}": OmegaConf.select(config.actor_rollout_ref, key) for key in keys
    }
    return {key: int(value) for key, value in values.items() if value is not None}


def check_sizes(sizes: Sizes) -> list[Finding]:
    """Everything that does not fit, or one finding with the numbers."""
    if not_positive := _not_positive(sizes):
        return not_positive
    problems = [*_group(sizes), *_batches(sizes), *_ranks(sizes), *_rows(sizes)]
    rows = sizes.prompts * sizes.group
    return CHECK.unless(
        problems,
        f"{sizes.prompts} prompts x G = {sizes.group} are {rows} rows a step, "
        f"{sizes.prompts // sizes.mini_batch} optimizer steps, {sizes.gpus} GPUs in "
        f"{sizes.gpus // (sizes.tensor * sizes.rollout_data)} rollout replicas",
    )


def _not_positive(sizes: Sizes) -> list[Finding]:
    numbers = {
        "trainer.nnodes": sizes.nodes,
        "trainer.n_gpus_per_node": sizes.gpus_per_node,
        "data.train_batch_size": sizes.prompts,
        "actor_rollout_ref.actor.ppo_mini_batch_size": sizes.mini_batch,
        "actor_rollout_ref.rollout.tensor_model_parallel_size": sizes.tensor,
        "actor_rollout_ref.rollout.data_parallel_size": sizes.rollout_data,
        **sizes.micro_batches,
    }
    return [
        CHECK.error(f"{key} = {value}; expected 1 or more", f"set {key} to 1 or more")
        for key, value in numbers.items()
        if value < 1
    ]


def _group(sizes: Sizes) -> list[Finding]:
    if sizes.group < 2:
        return [
            CHECK.error(
                f"actor_rollout_ref.rollout.n = {sizes.group}: a group of one compares nothing",
                "set actor_rollout_ref.rollout.n=8",
            )
        ]
    if sizes.target is None or sizes.target <= sizes.group - 1:
        return []
    return [
        CHECK.warning(
            f"K = {sizes.target}, but of G = {sizes.group} rollouts at most {sizes.group - 1} are "
            "failures beside an anchor: no subgroup is ever full",
            f"set ++algorithm.care.K={sizes.group - 1} or less, or "
            f"actor_rollout_ref.rollout.n={sizes.target + 1} or more",
        )
    ]


def _batches(sizes: Sizes) -> list[Finding]:
    if sizes.prompts % sizes.mini_batch == 0:
        return []
    fitting = _divisor_at_most(sizes.prompts, sizes.mini_batch)
    up = -(-sizes.prompts // sizes.mini_batch) * sizes.mini_batch
    return [
        CHECK.error(
            f"data.train_batch_size = {sizes.prompts} is no multiple of actor_rollout_ref.actor."
            f"ppo_mini_batch_size = {sizes.mini_batch}: optimizer steps would have another size",
            f"set data.train_batch_size={up} or "
            f"actor_rollout_ref.actor.ppo_mini_batch_size={fitting}",
        )
    ]


def _ranks(sizes: Sizes) -> list[Finding]:
    problems = []
    replica = sizes.tensor * sizes.rollout_data
    if sizes.gpus_per_node % sizes.tensor or sizes.gpus % replica:
        fitting = _divisor_at_most(sizes.gpus_per_node, sizes.tensor)
        problems.append(
            CHECK.error(
                f"a rollout replica takes tensor_model_parallel_size x data_parallel_size = "
                f"{sizes.tensor} x {sizes.rollout_data} GPUs, which do not divide "
                f"{sizes.nodes} x {sizes.gpus_per_node}",
                f"set actor_rollout_ref.rollout.tensor_model_parallel_size={fitting} and "
                "actor_rollout_ref.rollout.data_parallel_size=1",
            )
        )
    if sizes.gpus % sizes.sequence:
        problems.append(
            CHECK.error(
                f"ulysses_sequence_parallel_size = {sizes.sequence} does not divide "
                f"{sizes.gpus} GPUs",
                "set actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size="
                f"{_divisor_at_most(sizes.gpus, sizes.sequence)}",
            )
        )
    return problems


def _rows(sizes: Sizes) -> list[Finding]:
    """Rows of a mini-batch over ranks and, where these are fixed, micro-batches."""
    if sizes.fills_up:
        return []
    rows = sizes.mini_batch * sizes.group
    if rows % sizes.ranks:
        return [
            CHECK.error(
                f"an optimizer step has ppo_mini_batch_size x n = {sizes.mini_batch} x "
                f"{sizes.group} rows, which do not divide among {sizes.ranks} ranks",
                "set actor_rollout_ref.actor.ppo_mini_batch_size to a multiple of "
                f"{_factor_for(sizes.group, sizes.ranks)}",
            )
        ]
    per_rank = rows // sizes.ranks
    return [
        CHECK.error(
            f"{key} = {value} does not divide the {per_rank} rows that a rank has of an optimizer "
            "step",
            f"set {key}={_divisor_at_most(per_rank, value)}, or "
            "actor_rollout_ref.actor.use_dynamic_bsz=True",
        )
        for key, value in sizes.micro_batches.items()
        if per_rank % value
    ]


def _divisor_at_most(number: int, most: int) -> int:
    return next(each for each in range(min(number, most), 0, -1) if number % each == 0)


def _factor_for(group: int, ranks: int) -> int:
    """The smallest mini-batch of which every multiple divides among the ranks."""
    return next(each for each in range(1, ranks + 1) if each * group % ranks == 0)
