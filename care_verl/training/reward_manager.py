"""The reward of Eq. 1: verl's reward loop asks, the verifier answers."""

from __future__ import annotations

import asyncio
from typing import Any

import torch
from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from care_verl.algorithm import verifiable_reward
from care_verl.algorithm.method_settings import MethodSettings
from care_verl.methods import METHODS
from care_verl.platform.seam import Seam
from care_verl.training.chat_template import opens_rationale
from care_verl.training.wiring import loaded, wiring_of
from care_verl.verifier import verify

RELIES_ON = (
    Seam(
        "verl.experimental.reward_loop.reward_loop:RewardLoopWorker",
        "rewards come from the configured manager",
        "load_reward_manager(",
        "await self.reward_manager.run_single(data)",
    ),
)


class CareRewardManager(RewardManagerBase):  # type: ignore[misc]
    """Scores one row: reward = (1 - lambda)·acc + lambda·fmt (Eq. 1).

    Every row reports the same keys, whatever the verdict, because verl takes the columns of a
    validation table from its first row: `acc`, `fmt`, the answer as written (`pred`) and as it was
    understood (`read`), and the `rule` that compared it.
    """

    def __init__(
        self,
        config: DictConfig,
        tokenizer: Any,
        compute_score: Any = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        del reward_router_address, reward_model_tokenizer
        super().__init__(config, tokenizer, compute_score)
        settings = _settings(config)
        self._tags, self._lam = settings.tags, settings.lam

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Verdict of the last row of `data`. Raises KeyError when the row has no ground truth."""
        item = data[-1:][0]
        return await asyncio.get_running_loop().run_in_executor(None, self._score, item)

    def _score(self, item: Any) -> dict[str, Any]:
        fields = item.non_tensor_batch
        prompt = [int(token) for token in item.batch["prompts"]]
        verdict = verify(
            self._response_text(item),
            fields["reward_model"]["ground_truth"],
            data_source=str(fields.get("data_source", "")),
            choices=(fields.get("extra_info") or {}).get("choices"),
            think_tag=self._tags.think_tag,
            answer_tag=self._tags.answer_tag,
            prefilled=opens_rationale(self.tokenizer, prompt, self._tags),
        )
        acc, fmt = torch.tensor(verdict.acc), torch.tensor(verdict.fmt)
        reward = verifiable_reward(acc, fmt, self._lam)
        return {
            "reward_score": float(reward),
            "reward_extra_info": {
                "acc": float(verdict.acc),
                "fmt": float(verdict.fmt),
                "pred": "" if verdict.answer is None else str(verdict.answer),
                "read": verdict.answer_read,
                "rule": verdict.rule,
            },
        }

    def _response_text(self, item: Any) -> str:
        responses, mask = item.batch["responses"], item.batch["attention_mask"]
        length = int(mask[-responses.shape[-1] :].sum())
        return str(self.tokenizer.decode(responses[:length], skip_special_tokens=True))


def _settings(config: DictConfig) -> MethodSettings:
    """Those of the run's method; CARE's where it is another estimator's run."""
    return (wiring_of(config) or loaded(METHODS["care"])).settings_of(config)
