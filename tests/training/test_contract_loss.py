"""What verl 0.9.1 makes of a policy loss: called, and compared with sums by hand."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from verl.trainer.ppo.core_algos import agg_loss, kl_penalty
from verl.utils import tensordict_utils as tu
from verl.utils.metric import AggregationType, Metric
from verl.utils.py_functional import rename_dict
from verl.workers.config import ActorConfig
from verl.workers.config.actor import PolicyLossConfig
from verl.workers.utils.losses import ppo_loss

from care_verl.training.care.wiring import POLICY_LOSS
from tests.algorithm import oracle

from .samples import nested


def test_masked_rows_count_nowhere_in_the_kl() -> None:
    """Row means 2 and 4, the masked row's 100 left out; over a global size of 4, on 2 ranks: 3."""
    values = torch.tensor([[1.0, 3.0], [4.0, 9.0], [100.0, 100.0]])
    mask = torch.tensor([[1, 1], [1, 0], [0, 0]])
    loss = agg_loss(values, mask, "seq-mean-token-mean", dp_size=2, global_batch_size=4)
    assert float(loss) == pytest.approx((2 + 4) / 4 * 2)


def test_verls_loss_is_ours_over_the_global_size() -> None:
    """verl's `ppo_loss` around CARE's, by hand: |S*| = 4 over 2 ranks, rho = 2 and 1.

    Row 0, A > 0: clipped to 1.28 on both tokens of a = 0.5. Row 1 has rho = 1, a = -1 on one
    token. Row 2 is padding. Surrogate: -(1.28·0.5·2 - 1)/4·2 = -0.14. KL: ref = log_prob but for
    row 0, where d = -ln 2 gives k3 = 0.5 + ln 2 - 1 = 0.1931; over 4 rows and 2 ranks, 0.0966.
    """
    log2 = 0.6931472
    config = ActorConfig(
        strategy="fsdp",
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
        loss_agg_mode="seq-mean-token-mean",
        use_kl_loss=True,
        kl_loss_coef=0.5,
        policy_loss=PolicyLossConfig(loss_mode=POLICY_LOSS),
        rollout_n=1,
    )
    data = TensorDict(
        {
            "prompts": nested([1], [1], [1]),
            "responses": nested([1, 1], [1], [1, 1]),
            "response_mask": nested([1, 1], [1], [0, 0]),
            "old_log_probs": nested([-1 - log2, -1 - log2], [-1], [9, 9]),
            "ref_log_prob": nested([-1 - log2, -1 - log2], [-1], [9, 9]),
            "advantages": nested([0.5, 0.5], [-1], [7, 7]),
        },
        batch_size=3,
    )
    tu.assign_non_tensor(data, dp_size=2, batch_num_tokens=3, global_batch_size=4)
    # verl shifts by one: the last position of a row belongs to no token.
    log_probs = nested([-1, -1, 5], [-1, 5], [-1, -1, 5])
    loss, metrics = ppo_loss(config, {"log_probs": log_probs}, data)
    assert metrics["actor/pg_loss"].aggregate() == pytest.approx(-0.14, abs=1e-6)
    assert metrics["kl_loss"].aggregate() == pytest.approx(0.0965736, abs=1e-6)
    assert float(loss) == pytest.approx(-0.14 + 0.5 * 0.0965736, abs=1e-6)


def test_verls_kl_is_that_of_the_specification() -> None:
    """Random tokens of four rows, of which one is not updated and two are cut short by the mask."""
    generator = torch.Generator().manual_seed(0)
    log_prob, ref = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    updated = torch.tensor([True, True, False, True])
    mask = torch.tensor([[1] * 5, [1, 1, 0, 0, 0], [1] * 5, [1, 1, 1, 1, 0]])
    tokens = kl_penalty(log_prob, ref, "low_var_kl")
    assert float(tokens.max()) < 10
    loss = agg_loss(tokens, mask * updated[:, None], "seq-mean-token-mean", global_batch_size=3)
    torch.testing.assert_close(loss, oracle.kl_penalty(log_prob, ref, mask, updated, 3))


def test_token_counts_of_the_loss_become_a_rate() -> None:
    """verl averages over micro-batches and renames: the names and the rate must survive that."""
    metrics = Metric.from_dict({"care/clip/x": 1.0}, aggregation=AggregationType.MEAN)
    metrics["care/clip/x"].append(3.0)
    assert metrics["care/clip/x"].aggregate() == 2.0
    assert list(rename_dict({"care/clip/x": 1, "actor/y": 2}, "actor/")) == [
        "actor/care/clip/x",
        "actor/y",
    ]
