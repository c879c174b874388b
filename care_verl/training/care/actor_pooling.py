"""The actor-side oracle of the rationale embedding (`algorithm.care.embedding.cross_check`).

The actor pools its own final hidden states over the same positions that the rollout engine
pooled, in the pass that computes old log-probabilities, so that a wrong harvest shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tensordict import TensorDict

from care_verl.platform.places import ACTOR, LM_ENGINE
from care_verl.platform.seam import Seam
from care_verl.training.fields import ORACLE, RATIONALE_RANGE

RELIES_ON = (
    Seam(
        f"{ACTOR}.compute_log_prob",
        "old log-probabilities are the actor's",
        "self.actor.infer_batch(data)",
    ),
    Seam(
        f"{ACTOR}.compute_ref_log_prob",
        "the reference is another worker",
        "self.ref.infer_batch(data=data)",
    ),
    Seam(
        f"{LM_ENGINE}.forward_step",
        "model outputs are prepared after the forward pass",
        "raw_output = self.module(",
        "self.prepare_model_outputs(",
        "micro_batch=micro_batch",
        '"model_output": ',
    ),
    Seam(
        f"{LM_ENGINE}.prepare_model_outputs",
        "oracle.prepare_model_outputs",
        parameters="self, output, output_args, micro_batch, logits_processor_func",
    ),
)


def pool_positions(hidden: torch.Tensor, begin: int, end: int) -> torch.Tensor:
    """L2-normalised mean of rows [begin, end) of hidden [T, H], in float32; zeros when empty."""
    if end <= begin:
        return hidden.new_zeros(hidden.shape[-1], dtype=torch.float32)
    return torch.nn.functional.normalize(hidden[begin:end].float().mean(dim=0), dim=0)


class OraclePooling:
    """Adds the pooled embeddings [b, H] to an engine's model output while it is watched."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._hidden: torch.Tensor | None = None

    @contextmanager
    def watching(self, data: TensorDict) -> Iterator[None]:
        """Within: every forward pass of `data`, which carries `RATIONALE_RANGE`, is pooled.

        Raises ValueError under sequence parallelism, where a rank sees a slice of each row.
        """
        if RATIONALE_RANGE not in data.keys():  # noqa: SIM118  # TensorDict refuses `in`
            yield
            return
        if self._engine.ulysses_sequence_parallel_size > 1:
            raise ValueError(
                "algorithm.care.embedding.cross_check = True needs "
                "actor.ulysses_sequence_parallel_size = 1: a rank sees only a slice of each row"
            )
        head = self._engine.module.get_output_embeddings()
        handle = head.register_forward_pre_hook(self._remember)
        prepare_outputs = self._engine.prepare_model_outputs
        self._engine.prepare_model_outputs = self._with_embeddings(prepare_outputs)
        try:
            yield
        finally:
            del self._engine.prepare_model_outputs
            handle.remove()
            self._hidden = None

    def _remember(self, head: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        self._hidden = args[0].detach()

    def _with_embeddings(self, prepare_outputs: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, micro_batch: TensorDict, **kwargs: Any) -> dict[str, Any]:
            output: dict[str, Any] = prepare_outputs(*args, micro_batch=micro_batch, **kwargs)
            output[ORACLE] = self._pool(micro_batch)
            return output

        return wrapped

    def _pool(self, micro_batch: TensorDict) -> torch.Tensor:
        if self._hidden is None:
            raise RuntimeError(
                "cross_check saw no input of the language-model head; fused kernels "
                "(model.use_fused_kernels=True) bypass it, switch one of them off"
            )
        offsets = micro_batch["input_ids"].offsets().tolist()
        packed = self._hidden.shape[0] == 1 and len(offsets) > 2
        rows = []
        for row, positions in enumerate(micro_batch[RATIONALE_RANGE].unbind()):
            begin, end = positions.tolist()
            hidden = self._hidden[0, offsets[row] :] if packed else self._hidden[row]
            rows.append(pool_positions(hidden, begin, end))
        return torch.stack(rows)
