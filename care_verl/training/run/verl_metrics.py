"""verl computes its metrics over the rows that go on to the update; in a run of GRPO these are all.

What verl takes from the lengths of rows is given over all of them instead, under verl's names. What
is known of updated rows only gets a name that says so.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from torch import Tensor

from care_verl.platform.seam import Seam

UPDATED = "care/updated/"
"""In front of verl's name of a metric that is over the updated rows."""

_ENTROPY = "actor/entropy"
_OF_UPDATED_ROWS = ("critic/advantages/", "critic/returns/", "rollout/moe/", "rollout/spec_")
_TOKENS, _THROUGHPUT, _DECODING = (
    "perf/total_num_tokens",
    "perf/throughput",
    "timing_per_token_ms/gen",
)


RELIES_ON = (
    Seam(
        "verl.trainer.ppo.metric_utils:compute_throughout_metrics",
        "throughput is the tokens of the rows that are left",
        '"perf/total_num_tokens": total_num_tokens',
        '"perf/throughput": total_num_tokens / (time * n_gpus)',
    ),
    Seam(
        "verl.trainer.ppo.metric_utils:compute_timing_metrics",
        "milliseconds a token are of the rows that are left",
        '"gen": num_response_tokens',
        'f"timing_per_token_ms/{name}"',
    ),
)


def length_metrics(prompt: Tensor, response: Tensor) -> dict[str, float]:
    """verl's metrics of lengths over N rows; prompt, response: [N] tokens.

    verl's `clip_ratio` is the share of rows that are as long as the longest. Of responses that are
    not empty its mean and the like are left out where all are empty.
    """
    decoded = response[response > 0]
    metrics = {"response/aborted_ratio": 1 - len(decoded) / len(response)}
    metrics |= _lengths("prompt_length", prompt) | _lengths("response_length", response)
    return metrics | (_lengths("response_length_non_aborted", decoded) if len(decoded) else {})


def put_right(metrics: MutableMapping[str, float], prompt: Tensor, response: Tensor) -> None:
    """Make verl's metrics of a step speak of all rows, or say of which; in place.

    prompt, response: [B] tokens of all rows, reflections included. Throughput and milliseconds a
    token of decoding are over these. Other stages have only the updated rows to work on, and verl's
    milliseconds a token are theirs.
    """
    for name in list(metrics):
        if name == _ENTROPY or name.startswith(_OF_UPDATED_ROWS):
            metrics[f"{UPDATED}{name}"] = metrics.pop(name)
    decoded = float(response.sum())
    total = float(prompt.sum()) + decoded
    metrics[_THROUGHPUT] *= total / metrics[_TOKENS]
    metrics[_TOKENS] = total
    metrics[_DECODING] = metrics["timing_s/gen"] * 1000 / decoded if decoded else 0.0


def _lengths(name: str, tokens: Tensor) -> dict[str, float]:
    longest = tokens.max()
    return {
        f"{name}/mean": float(tokens.double().mean()),
        f"{name}/max": float(longest),
        f"{name}/min": float(tokens.min()),
        f"{name}/clip_ratio": float((tokens == longest).double().mean()),
    }
