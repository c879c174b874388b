"""The rows of one step as the algorithm wants them: sequence advantages, kept and padded rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from care_verl.algorithm import CareAdvantages, CareConfig, care_advantages
from care_verl.algorithm.diagnostics import care_metrics
from care_verl.algorithm.groups import ORIGINAL
from care_verl.training.care.row import CareRow
from care_verl.training.fields import CARE, EMBEDDING, RGR_SKIPPED
from care_verl.training.queue_rows import group_of
from care_verl.training.run.verl_metrics import length_metrics
from care_verl.training.sampled_rows import SampledRows, reports_of, require_rows
from care_verl.verifier import UNDECIDED, UNREADABLE_GOLD


@dataclass(frozen=True, kw_only=True)
class StepRows(SampledRows[CareRow]):
    """All B rows of a step of CARE.

    tags: the queue's row tags. embedding: [B, H], zeros for reflections.
    """

    tags: list[dict[str, Any]]
    embedding: Tensor

    @classmethod
    def of(
        cls,
        keys: Sequence[str],
        tags: Sequence[dict[str, Any]],
        extra_fields: Sequence[dict[str, Any]],
        masks: Sequence[Tensor],
    ) -> StepRows:
        """From the queue's columns. Raises RuntimeError when no rollout arrived at all."""
        require_rows(keys)
        records = [CareRow.from_mapping(fields[CARE]) for fields in extra_fields]
        order = sorted(range(len(keys)), key=lambda i: (group_of(keys[i]), records[i].session))
        return cls(
            keys=[keys[i] for i in order],
            tags=[tags[i] for i in order],
            records=[records[i] for i in order],
            masks=[masks[i] for i in order],
            embedding=_embeddings([extra_fields[i].get(EMBEDDING) for i in order]),
            reports=reports_of([extra_fields[i] for i in order]),
        )

    @property
    def acc(self) -> Tensor:
        return torch.tensor([record.acc for record in self.records])

    @property
    def reward(self) -> Tensor:
        return torch.tensor([record.reward for record in self.records])

    @property
    def think_len(self) -> Tensor:
        return torch.tensor([record.spans.think_len for record in self.records])

    @property
    def reasoned(self) -> Tensor:
        return torch.tensor([record.spans.reasoned for record in self.records])

    @property
    def reflected_from(self) -> Tensor:
        """[B]: the row index of each reflection's source, -1 for originals."""
        index = {
            (group_of(key), record.session): i
            for i, (key, record) in enumerate(zip(self.keys, self.records, strict=True))
        }
        sources = [
            ORIGINAL
            if record.reflected_from == ORIGINAL
            else index[group_of(key), record.reflected_from]
            for key, record in zip(self.keys, self.records, strict=True)
        ]
        return torch.tensor(sources)

    def advantages(self, config: CareConfig) -> CareAdvantages:
        """Sequence advantages of all rows."""
        return care_advantages(
            reward=self.reward,
            acc=self.acc,
            uid=self.uids,
            think_len=self.think_len,
            answer_len=torch.tensor([record.spans.answer_len for record in self.records]),
            embedding=self.embedding,
            logp_old=torch.tensor([record.logp for record in self.records]),
            reflected_from=self.reflected_from,
            config=config,
            response_len=self.response_tokens,
            reasoned=self.reasoned,
        )

    @property
    def prompt_tokens(self) -> Tensor:
        """[B]: lengths of the prompts."""
        return torch.tensor([tag["prompt_len"] for tag in self.tags])

    @property
    def response_tokens(self) -> Tensor:
        """[B]: lengths of the responses, a reflection's given prefix included."""
        return torch.tensor([tag["response_len"] for tag in self.tags])

    def metrics(self, result: CareAdvantages, config: CareConfig) -> dict[str, float]:
        """The `care/` metrics and verl's score and length metrics, over all rows."""
        skipped = Counter(tag[RGR_SKIPPED] for tag in self.tags if RGR_SKIPPED in tag)
        care = care_metrics(
            result, self.acc, self.think_len, self.reflected_from, config, rgr_skipped=skipped
        )
        tokens = self.response_tokens
        kept = tokens[result.advantage != 0].sum() / tokens.sum()
        return {
            **{f"care/{name}": value for name, value in care.items()},
            "care/tokens/updated_share": float(kept),
            "care/tokens/total": float(tokens.sum()),
            **self._originals_metrics(),
        }

    def _originals_metrics(self) -> dict[str, float]:
        """What the policy does by itself: means over the originals, without reflections."""
        original = self.reflected_from == ORIGINAL
        score = self.reward[original]
        metrics = {
            "care/acc/mean": float(self.acc[original].mean()),
            "care/verifier/undecided": self.share_of_rule(UNDECIDED),
            "care/verifier/unreadable_gold": self.share_of_rule(UNREADABLE_GOLD),
        }
        for name in ("critic/score", "critic/rewards"):
            metrics |= _spread(name, score)
        metrics |= self._sampled_entropy(original)
        return metrics | length_metrics(
            self.prompt_tokens[original], self.response_tokens[original]
        )

    def _sampled_entropy(self, chosen: Tensor) -> dict[str, float]:
        """Mean -log pi of the decoded tokens of the chosen rows, [B]; nothing without a token."""
        logp = torch.tensor([record.logp for record in self.records], dtype=torch.float64)
        decoded = torch.tensor([int(mask.sum()) for mask in self.masks])[chosen].sum()
        return {"care/entropy/sampled": float(-logp[chosen].sum() / decoded)} if decoded else {}


def _embeddings(values: Sequence[Any]) -> Tensor:
    """[B, H]; rows without one, the reflections, get zeros."""
    present = [torch.as_tensor(value) for value in values if value is not None]
    zeros = torch.zeros_like(present[0])
    return torch.stack([zeros if value is None else torch.as_tensor(value) for value in values])


def _spread(name: str, values: Tensor) -> dict[str, float]:
    return {
        f"{name}/mean": float(values.mean()),
        f"{name}/max": float(values.max()),
        f"{name}/min": float(values.min()),
    }
