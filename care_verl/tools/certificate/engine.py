"""The actor of a run, without Ray: CARE's worker around verl's FSDP2 engine, on the CPU.

One process is one data-parallel rank. Parameters are never stepped, so one actor makes all cuts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from torch import Tensor
from verl.utils import tensordict_utils as tu
from verl.utils.seqlen_balancing import calculate_workload, get_seqlen_balanced_partitions
from verl.utils.torch_dtypes import PrecisionType

from care_verl.tools.certificate.batch import rank_batch
from care_verl.tools.certificate.comparison import FLOAT32, FLOAT64
from care_verl.tools.certificate.cuts import Cut, Placed
from care_verl.training.care.capture_file import Capture
from care_verl.training.care.wiring import WIRING
from care_verl.training.care.worker import CareActorRolloutRefWorker
from care_verl.training.configuration import expand

DTYPES = {FLOAT64: torch.float64, FLOAT32: torch.float32}
_FP64 = "fp64"


def shares(lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """verl's own balancing of rows over ranks, as its trainer calls it."""
    workload = calculate_workload(torch.tensor(lengths))
    partitions: list[list[int]] = get_seqlen_balanced_partitions(
        workload, k_partitions=ranks, equal_size=True
    )
    return partitions


class Actor:
    """One rank of an actor with `model`, in `precision` (`float64` or `float32`)."""

    def __init__(self, model: Path, capture: Capture, precision: str) -> None:
        config = _run_config(model, capture)
        self._temperature = capture.temperature
        self._dtype = DTYPES[precision]
        with _float64_known():
            if self._dtype == torch.float64:
                _ask_for_float64(config)
            worker: Any = CareActorRolloutRefWorker(config.actor_rollout_ref, role="actor")
            worker.init_model()
        self._worker = worker
        self._engine = worker.actor.engine
        # verl asks for autocast in any precision but this one; there is none to float64.
        self._engine._autocast_dtype = torch.float32

    def update(self, cut: Cut, placed: Sequence[Placed]) -> tuple[float, dict[str, Tensor]]:
        """Run verl's update on this rank's rows up to the optimizer's step.

        Returns the loss as verl sums it, and the gradient of every whole parameter.
        """
        settings = self._worker.actor.engine_config
        settings.use_dynamic_bsz = cut.budget_rows is not None
        longest = max(len(row.input_ids) for row, _ in placed)
        settings.max_token_len_per_gpu = (cut.budget_rows or 1) * _on_all_ranks(longest)
        settings.micro_batch_size_per_gpu = cut.micro_rows or len(placed)
        with _default_dtype(self._dtype), self._gradients_instead_of_a_step() as gradients:
            output = self._worker.update_actor(self._batch(cut, placed))
        return float(tu.get(output, "metrics")["loss"][0]), gradients

    def _batch(self, cut: Cut, placed: Sequence[Placed]) -> TensorDict:
        """With what `CareTrainer._update_actor` and verl's trainer say beside the rows."""
        return tu.assign_non_tensor(
            rank_batch(placed),
            calculate_entropy=False,
            distillation_use_topk=False,
            distillation_only=False,
            num_mini_batch=1,
            epochs=1,
            seed=0,
            dataloader_kwargs={"shuffle": False},
            temperature=self._temperature,
            pad_token_id=cut.pad_token,
        )

    @contextmanager
    def _gradients_instead_of_a_step(self) -> Iterator[dict[str, Tensor]]:
        gradients: dict[str, Tensor] = {}

        def read() -> float:
            for name, parameter in self._engine.module.named_parameters():
                grad = parameter.grad
                gradients[name] = (
                    torch.zeros(parameter.shape) if grad is None else grad.full_tensor().clone()
                )
                assert grad is None or grad.dtype == self._dtype, (
                    f"{name} has a {grad.dtype} gradient"
                )
            return 0.0

        self._engine.optimizer_step = read
        try:
            yield gradients
        finally:
            del self._engine.optimizer_step


def _run_config(model: Path, capture: Capture) -> DictConfig:
    """A CARE run's configuration with the captured settings, on the CPU."""
    overrides = [
        "+recipe/hardware@_global_=cpu",
        "algorithm.adv_estimator=care",
        f"actor_rollout_ref.model.path={model}",
        "actor_rollout_ref.rollout.n=8",
        # Set anew for each cut; verl wants them set at construction.
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
    ]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=overrides)
    with open_dict(config):
        config.algorithm.care = capture.settings.to_mapping()
    expand(config, WIRING)
    with open_dict(config):
        config.actor_rollout_ref.actor.update(capture.loss)
    return config


def _ask_for_float64(config: DictConfig) -> None:
    engine = config.actor_rollout_ref.actor.fsdp_config
    engine.model_dtype = _FP64
    for name in ("param_dtype", "reduce_dtype", "buffer_dtype"):
        engine.mixed_precision[name] = _FP64


@contextmanager
def _float64_known() -> Iterator[None]:
    """verl's names of precisions end at fp32; its engine computes in any."""
    known = PrecisionType.to_dtype

    def to_dtype(precision: Any) -> torch.dtype:
        return torch.float64 if precision == _FP64 else known(precision)

    PrecisionType.to_dtype = staticmethod(to_dtype)
    try:
        yield
    finally:
        PrecisionType.to_dtype = staticmethod(known)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """verl sums the micro-batches' losses in the default precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _on_all_ranks(longest: int) -> int:
    value = torch.tensor(longest)
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return int(value)


def join_ranks(rank: int, ranks: int, port: int) -> None:
    """What verl's worker reads from its environment, which Ray would have set."""
    torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(ranks),
        LOCAL_RANK="0",
        LOCAL_WORLD_SIZE="1",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
