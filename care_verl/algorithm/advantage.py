"""Sequence advantages of CARE (Sections 3.2 to 3.4, 3.6, 3.7; Algorithm 1, lines 3 to 39)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from care_verl.algorithm.config import CareConfig
from care_verl.algorithm.groups import Groups, Rollouts
from care_verl.algorithm.normalization import normalize
from care_verl.algorithm.reward import is_positive
from care_verl.algorithm.selection import ALL_WRONG, Selection, select

ROLES = ("outside", "anchor", "negative", "positive")
"""What a row is in its group's update; positions are the codes in `CareAdvantages.role_code`."""
OUTSIDE, ANCHOR, NEGATIVE, POSITIVE = range(4)


@dataclass(frozen=True)
class CareAdvantages:
    """Advantages of B rows in N groups, on the device of the reward.

    advantage: float32 [B], A[y] as the optimizer sees it; 0 outside S.
    raw: float32 [B], A_raw[y] (Eq. 7); 0 outside S.
    role_code: int64 [B], position in `ROLES`.
    group: int64 [B], the group of each row, in order of first appearance.
    kind: int64 [N], position in `KINDS`.
    k_prime: int64 [N], K', the hard negatives selected before any reflection.
    k_s: int64 [N], K_S, the negatives of S after it; 0 where the group is skipped.
    d_cos: float32 [B], cosine distance to the group's (pseudo-)anchor; NaN in an all-wrong group
        that is not rescued.
    """

    advantage: Tensor
    raw: Tensor
    role_code: Tensor
    group: Tensor
    kind: Tensor
    k_prime: Tensor
    k_s: Tensor
    d_cos: Tensor

    @property
    def role(self) -> list[str]:
        """B words: `anchor` (a pseudo-anchor too), `negative`, `positive` or `outside`.

        `positive` is a member of S that is right and not the anchor: a successful reflection.
        `outside` is every row that is not in S, the replaced source of a success included.
        """
        return [ROLES[code] for code in self.role_code.tolist()]


def care_advantages(
    reward: Tensor,
    acc: Tensor,
    uid: Sequence[Hashable],
    think_len: Tensor,
    answer_len: Tensor,
    embedding: Tensor,
    logp_old: Tensor,
    reflected_from: Tensor,
    config: CareConfig,
    *,
    response_len: Tensor | None = None,
    reasoned: Tensor | None = None,
) -> CareAdvantages:
    """Sequence advantages of a batch, all groups in one vectorised pass.

    Group by group: anchor and hard negatives (`select`); the reflection joins S (`_subgroup`);
    normalisation (`normalize`); negative scaling and equalisation (`_scale`). Groups without a
    failure, all-wrong groups that cannot be rescued and groups whose only failure a reflection
    replaced (K_S = 0) are skipped: their rows have advantage 0 and role `outside`.

    Args:
        reward: [B], the shaped reward (Eq. 1); acc: [B] in [0, 1], a row is positive iff 1.
        uid: B group names. Rows of a group may stand anywhere in the batch.
        think_len, answer_len: integer [B], tokens inside the rationale and the answer.
        embedding: [B, H], L2-normalised rationale embeddings; used without gradient.
        logp_old: [B], log pi_old(y|x) summed over response tokens; read in all-wrong groups only.
        reflected_from: integer [B], row of the failed original a reflection was made from, -1
            for originals. At most one reflection a group, none in an all-wrong group.
        config: the settings.
        response_len: [B] response tokens, needed with `rescue_logp = mean` only.
        reasoned: bool [B], whether a row's rationale is more than its answer once again
            (`TokenSpans.reasoned`); all are without it. A positive that is not reasoned becomes the
            anchor only where no reasoned one exists.

    Raises:
        ValueError: a shape, type or value that does not fit; it names the argument, what was
            found and what is expected.
    """
    if isinstance(uid, Tensor):
        raise ValueError("uid is a tensor; expected a sequence of hashables, such as a list")
    rollouts = Rollouts.checked(
        reward, acc, uid, think_len, answer_len, embedding, logp_old, reflected_from, reasoned
    )
    if config.rescue_logp == "mean":
        rollouts = replace(rollouts, logp_old=_mean_logp(rollouts.logp_old, response_len))
    groups = Groups.of(rollouts)
    selection = select(rollouts, groups, config)
    member, pseudo_reward = _subgroup(rollouts, groups, selection, config)

    right = is_positive(rollouts.acc)[groups.rows]
    column = torch.arange(member.shape[1], device=member.device)
    anchor = member & (column == selection.anchor[:, None])
    negative = member & ~anchor & ~right
    k_s = negative.sum(1)
    member, anchor = member & (k_s > 0)[:, None], anchor & (k_s > 0)[:, None]

    raw = normalize(pseudo_reward, member, config)
    advantage = _scale(raw, negative, k_s, config)
    role = torch.where(member, POSITIVE, OUTSIDE)
    role = role.masked_fill(negative, NEGATIVE).masked_fill(anchor, ANCHOR)
    rescued_not = (selection.kind == ALL_WRONG) & (selection.k_prime == 0)
    return CareAdvantages(
        advantage=groups.to_rows(advantage).float(),
        raw=groups.to_rows(raw).float(),
        role_code=groups.to_rows(role),
        group=groups.of_row,
        kind=selection.kind,
        k_prime=selection.k_prime,
        k_s=k_s,
        d_cos=selection.d_cos.masked_fill(rescued_not[groups.of_row], torch.nan).float(),
    )


def _mean_logp(logp_old: Tensor, response_len: Tensor | None) -> Tensor:
    if response_len is None or response_len.shape != logp_old.shape:
        found = "None" if response_len is None else f"of shape {tuple(response_len.shape)}"
        raise ValueError(
            f"response_len is {found}; algorithm.care.rescue_logp = mean expects the number of "
            f"response tokens of each of the {len(logp_old)} rows"
        )
    return logp_old / response_len.to(logp_old).clamp(min=1)


def _subgroup(
    rollouts: Rollouts, groups: Groups, selection: Selection, config: CareConfig
) -> tuple[Tensor, Tensor]:
    """S after the reflection, bool [N, W + 1], and the rewards r~ it is normalised on.

    A successful reflection replaces its source, S = (S - {source}) + {reflected}; a failed one
    joins S (Algorithm 1, lines 15 to 19). An all-wrong group gets the pseudo-rewards of Eq. 14:
    delta for t, -delta / K' for the others. They stay in here; the true rewards are not touched.
    **Settled**: t has the highest log pi_old(y|x) summed over its tokens, the paper's literal
    reading; `rescue_logp = mean` divides by the length. The success test is acc == 1.

    Rewards are taken relative to the anchor's, so that equal rewards differ by exactly zero.
    """
    member = selection.negatives.clone()
    anchor = selection.anchor[:, None]
    member.scatter_(1, anchor, (selection.k_prime > 0)[:, None])

    reflected = (rollouts.reflected_from >= 0).nonzero().flatten()
    group = groups.of_row[reflected]
    source = groups.column[rollouts.reflected_from[reflected]]
    success = is_positive(rollouts.acc[reflected])
    member[group, source] &= ~success
    member[group, -1] = True

    reward = rollouts.reward[groups.rows]
    reward = reward - reward.gather(1, anchor)
    k_prime = selection.k_prime.double().clamp(min=1)[:, None]
    gap = (-config.delta / k_prime - config.delta).expand_as(reward)
    pseudo = gap.scatter(1, anchor, 0.0)
    return member, torch.where((selection.kind == ALL_WRONG)[:, None], pseudo, reward)


def _scale(raw: Tensor, negative: Tensor, k_s: Tensor, config: CareConfig) -> Tensor:
    """Eq. 8 and the equalisation: the final advantages, float64 [N, W + 1].

    A negative gets -s |A_raw|, a failed reflection -s_refl |A_raw|. The anchor keeps A_raw.
    **Settled**: so does a successful reflection. Algorithm 1, line 37 read literally would give
    it -s |A_raw| and so punish a correct answer; Eq. 8 and the text speak of negatives only.

    Where K_S < K the whole group is multiplied by sqrt(K / K_S); it is never scaled down.
    **Settled**: K_S counts the failed members other than the (pseudo-)anchor. Algorithm 1, line
    26 counts rewards below the anchor's; with a format reward that would call a correct but less
    well formatted reflection a negative.
    """
    scale = torch.full_like(raw, config.s)
    scale[:, -1] = config.s_refl
    advantage = torch.where(negative, -scale * raw.abs(), raw)
    if config.equalize:
        ratio = config.K / k_s.double().clamp(min=1, max=config.K)
        advantage = advantage * ratio.sqrt()[:, None]
    return advantage
