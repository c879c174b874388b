"""Token budgets: what a row may have, and what every stage can take."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.method import RunMethod

CHECK = Check("token budgets")
_ROLLOUT = "actor_rollout_ref.rollout"


@dataclass(frozen=True)
class Budgets:
    """Lengths in tokens. `stages`: tokens of a forward pass where batches are cut by tokens.

    context: `max_model_len`, None where verl takes the model's own. reflection: tokens that a
    reflection needs free in the response; None in a run without reflections.
    """

    prompt: int
    response: int
    context: int | None
    stages: dict[str, int]
    batched: int
    sequences: int
    chunked: bool
    reflection: int | None
    twice: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, config: DictConfig) -> Budgets:
        """Those of a completed configuration."""
        rollout, data = config.actor_rollout_ref.rollout, config.data
        lengths = ("prompt_length", "response_length")
        method = RunMethod.of(config)
        return cls(
            prompt=int(rollout.prompt_length),
            response=int(rollout.response_length),
            context=None if rollout.max_model_len is None else int(rollout.max_model_len),
            stages=_stages(config),
            batched=int(rollout.max_num_batched_tokens),
            sequences=int(rollout.max_num_seqs),
            chunked=bool(rollout.enable_chunked_prefill),
            reflection=method.reflection_tokens if method else None,
            twice={name: (int(data[f"max_{name}"]), int(rollout[name])) for name in lengths},
        )

    @property
    def row(self) -> int:
        """The longest row."""
        return self.prompt + self.response


def _stages(config: DictConfig) -> dict[str, int]:
    """Tokens of one forward pass of each stage, for as many ranks as share a row."""
    roles = config.actor_rollout_ref
    share = int(OmegaConf.select(roles.actor, "fsdp_config.ulysses_sequence_parallel_size") or 1)
    stages = [
        (roles.actor.use_dynamic_bsz, "actor", "ppo_max_token_len_per_gpu"),
        (roles.rollout.log_prob_use_dynamic_bsz, "rollout", "log_prob_max_token_len_per_gpu"),
    ]
    if roles.actor.use_kl_loss:
        stages.append((roles.ref.log_prob_use_dynamic_bsz, "ref", "log_prob_max_token_len_per_gpu"))
    return {
        f"actor_rollout_ref.{role}.{name}": int(roles[role][name]) * share
        for by_tokens, role, name in stages
        if by_tokens
    }


def check_lengths(budgets: Budgets) -> list[Finding]:
    """Everything that is too short, or one finding with the numbers."""
    problems = [
        *_said_twice(budgets),
        *_context(budgets),
        *_forward_passes(budgets),
        *_scheduler(budgets),
        *_reflection(budgets),
    ]
    return CHECK.unless(
        problems,
        f"prompt {budgets.prompt} + response {budgets.response} = {budgets.row} tokens fit "
        f"max_model_len = {budgets.context} and every forward pass",
    )


def _said_twice(budgets: Budgets) -> list[Finding]:
    return [
        CHECK.error(
            f"data.max_{name} = {data}, but {_ROLLOUT}.{name} = {rollout}: the one filters the "
            "data, the other cuts the rows",
            f"set both to one value, or leave {_ROLLOUT}.{name} out: it follows data.max_{name}",
        )
        for name, (data, rollout) in budgets.twice.items()
        if data != rollout
    ]


def _context(budgets: Budgets) -> list[Finding]:
    if budgets.context is None:
        return [
            CHECK.warning(
                f"{_ROLLOUT}.max_model_len is not set: vLLM plans for the model's whole context",
                f"set {_ROLLOUT}.max_model_len={budgets.row}",
            )
        ]
    if budgets.row <= budgets.context:
        return []
    return [
        CHECK.error(
            f"prompt_length {budgets.prompt} + response_length {budgets.response} = {budgets.row} "
            f"tokens, but {_ROLLOUT}.max_model_len = {budgets.context}",
            f"set {_ROLLOUT}.max_model_len={budgets.row}, or shorten data.max_prompt_length or "
            "data.max_response_length",
        )
    ]


def _forward_passes(budgets: Budgets) -> list[Finding]:
    return [
        CHECK.error(
            f"{key} takes {tokens} tokens, but the longest row has {budgets.row}",
            f"set {key} to {budgets.row} or more; two to four rows are usual",
        )
        for key, tokens in budgets.stages.items()
        if tokens < budgets.row
    ]


def _scheduler(budgets: Budgets) -> list[Finding]:
    key = f"{_ROLLOUT}.max_num_batched_tokens"
    problems = []
    if budgets.batched < budgets.sequences:
        problems.append(
            CHECK.error(
                f"{key} = {budgets.batched} is less than max_num_seqs = {budgets.sequences}, which "
                "vLLM refuses",
                f"set {key}={max(budgets.sequences, budgets.row)}",
            )
        )
    if not budgets.chunked and budgets.batched < (budgets.context or budgets.row):
        problems.append(
            CHECK.error(
                f"{key} = {budgets.batched} is less than max_model_len = {budgets.context}, and "
                "prompts are not prefilled in chunks",
                f"set {key}={budgets.context or budgets.row}, or "
                f"{_ROLLOUT}.enable_chunked_prefill=True",
            )
        )
    return problems


def _reflection(budgets: Budgets) -> list[Finding]:
    if budgets.reflection is None or budgets.reflection < budgets.response:
        return []
    return [
        CHECK.error(
            f"algorithm.care.rgr.min_new_tokens = {budgets.reflection} leaves a response of "
            f"{budgets.response} tokens no room for prefix and cue: no reflection is ever decoded",
            "raise data.max_response_length, lower algorithm.care.rgr.min_new_tokens, or set "
            "++algorithm.care.rgr.mode=off",
        )
    ]
