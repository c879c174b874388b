"""Eq. 12 as a verl policy loss.

`advantages` already holds the per-token advantages a_{i,t} of Eq. 11, and `global_batch_size`
is |S*| of the whole mini-batch over all ranks (`care_verl.training.care.worker`). verl averages
gradients over data-parallel ranks, hence the factor `dp_size`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from care_verl.algorithm.objective import clipped_surrogate
from care_verl.algorithm.parity import ratio_deviation
from care_verl.common.logs import logger_of
from care_verl.platform.seam import Seam

logger = logger_of(__name__)

CLIPPED = "care/clip/negative_clipped"
TRAINED = "care/clip/negative_tokens"
RATIO = "care/ratio/first_deviation"
"""max |rho - 1|; verl takes the mean over micro-batches and ranks."""


RELIES_ON = (
    Seam(
        "verl.workers.utils.losses:ppo_loss",
        "the loss sees the global batch",
        'config.global_batch_info["dp_size"] = data["dp_size"]',
        'config.global_batch_info["global_batch_size"] = data["global_batch_size"]',
        "policy_loss_fn(",
        "Metric.from_dict(pg_metrics, aggregation=AggregationType.MEAN)",
        "loss_agg_mode=config.loss_agg_mode, **config.global_batch_info",
    ),
)


def care_policy_loss(
    old_log_prob: torch.Tensor,
    log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    loss_agg_mode: str = "seq-mean-token-mean",
    config: Any = None,
    rollout_is_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """One micro-batch's share of Eq. 12, [B, T] in, a scalar and its diagnostics out.

    Raises RuntimeError when verl passes no global batch size: the denominator |S*| would be
    that of the micro-batch, and the gradient would depend on how the batch was cut.
    """
    del loss_agg_mode, rollout_is_weights
    info = config.global_batch_info
    num_rows = info.get("global_batch_size")
    if num_rows is None:
        raise RuntimeError(
            "the CARE loss got no global_batch_size (|S*|): it must be run by "
            "care_verl.training.care.worker.CareTrainingWorker, which counts it over all ranks"
        )
    loss, stats = clipped_surrogate(
        log_prob,
        old_log_prob,
        advantages,
        response_mask,
        num_rows=int(num_rows),
        clip_low=config.clip_ratio_low,
        clip_high=config.clip_ratio_high,
    )
    metrics = {
        "actor/pg_clipfrac": stats.rate.item(),
        CLIPPED: float(stats.negative_clipped),
        TRAINED: float(stats.negative_tokens),
        RATIO: float(ratio_deviation(log_prob, old_log_prob, response_mask)),
    }
    return loss * info["dp_size"], metrics


def clip_rate(metrics: dict[str, Any]) -> dict[str, Any]:
    """The update's metrics under CARE's names, the two token counts made one rate (Figure 6, left).

    verl averages each count over the micro-batches; the ratio of the averages is that of the sums
    where mini-batches have equally many micro-batches, and close to it otherwise.
    """
    clipped, trained = metrics.pop(f"actor/{CLIPPED}"), metrics.pop(f"actor/{TRAINED}")
    deviation = metrics.pop(f"actor/{RATIO}")
    return {
        **metrics,
        RATIO: deviation,
        "care/clip/negative_rate": clipped / trained if trained else 0.0,
    }


def skipped_updates(grad_norms: Sequence[float]) -> float:
    """Optimizer steps that verl skipped, told from the gradient norm of each: NaN or infinite."""
    skipped = sum(not math.isfinite(norm) for norm in grad_norms)
    if skipped:
        logger.error(
            "%d of %d optimizer steps were skipped: the norm of the gradient was not finite (%s). "
            "If it goes on, look at actor/loss and care/parity, and lower the learning rate",
            skipped,
            len(grad_norms),
            list(grad_norms),
        )
    return float(skipped)
