"""Whether vLLM's log-probabilities are of the distribution that the actor scores.

The actor's are of softmax(logits / temperature). vLLM's are renormalised over what `top_p` and
`top_k` leave: a token of probability 0.6 in the 0.9 that is left has 0.667, and a distance between
the two engines is no sign of other weights.
"""

from __future__ import annotations

from typing import Any

from care_verl.rollout.checks import engine_value


def two_distributions(rollout: Any) -> str | None:
    """Why the engines' log-probabilities differ by more than rounding; None where they agree.

    `rollout` is `actor_rollout_ref.rollout`.
    """
    given = engine_value(rollout, "logprobs_mode")
    mode = rollout.logprobs_mode if given is None else given[1]
    if str(mode).startswith("raw"):
        if float(rollout.temperature) == 1:
            return None
        return (
            f"rollout.logprobs_mode = {mode!r} has vLLM report the log-probabilities before "
            f"rollout.temperature = {rollout.temperature!r}"
        )
    cut = "cuts the distribution that vLLM reports log-probabilities of, and not the actor's"
    if float(rollout.top_p) < 1:
        return f"rollout.top_p = {rollout.top_p!r} {cut}"
    if int(rollout.top_k) > 0:
        return f"rollout.top_k = {rollout.top_k!r} {cut}"
    return None
