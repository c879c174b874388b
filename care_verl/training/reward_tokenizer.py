"""Reward workers run code from a model's folder only where the run allows it.

verl loads their tokenizers with `trust_remote_code=True`, whatever the configuration says.
"""

from __future__ import annotations

import functools
from typing import Any

from care_verl.platform.contract import require_source

MODULE = "verl.experimental.reward_loop.reward_loop"
_TRUSTING = "hf_tokenizer(input_tokenizer_local_path, trust_remote_code=True)"


def ask_before_trusting(reward_loop: Any) -> None:
    """In runs of ours `actor_rollout_ref.model.trust_remote_code` decides for these tokenizers too.

    Raises ContractError where verl loads them in another way.
    """
    from care_verl.training.wiring import wiring_of

    init = reward_loop.RewardLoopWorker._init_reward_fn
    require_source(init, _TRUSTING)
    trusting = reward_loop.hf_tokenizer

    @functools.wraps(init)
    def _init_reward_fn(worker: Any) -> None:
        if wiring_of(worker.config) is None:
            init(worker)
            return
        trust = bool(worker.config.actor_rollout_ref.model.trust_remote_code)

        def hf_tokenizer(path: str, trust_remote_code: bool) -> Any:
            return trusting(path, trust_remote_code=trust and trust_remote_code)

        reward_loop.hf_tokenizer = hf_tokenizer
        try:
            init(worker)
        finally:
            reward_loop.hf_tokenizer = trusting

    reward_loop.RewardLoopWorker._init_reward_fn = _init_reward_fn
