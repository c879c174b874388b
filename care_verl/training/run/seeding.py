"""Seeds of the requests of a run (the setting `seeded` of its method).

vLLM samples requests without a seed from one stream of random numbers, in the order in which they
happen to share steps; a request with a seed has a stream of its own. Every request of a seeded run
gets one: vLLM's CPU sampler ignores all seeds of a step in which one request has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from care_verl.algorithm.draws import decoding_seed
from care_verl.algorithm.method_settings import MethodSettings
from care_verl.platform.places import SERVER
from care_verl.platform.seam import Seam
from care_verl.training.messages import texts

ROLLOUT, REFLECTION, VALIDATION, TURN = "rollout", "reflection", "validation", "turn"


RELIES_ON = (
    Seam(
        f"{SERVER}.generate",
        "a server takes the seed that it is given",
        'sampling_params.setdefault("seed"',
        "SamplingParams(max_tokens=max_tokens, **samp",
    ),
)


@dataclass(frozen=True)
class Seeding:
    """Puts seeds into sampling parameters; leaves them as they are where `seed` is None."""

    seed: int | None

    @classmethod
    def of(cls, config: DictConfig, settings: MethodSettings) -> Seeding:
        """`actor_rollout_ref.rollout.seed` of a seeded run."""
        return cls(int(config.actor_rollout_ref.rollout.seed) if settings.seeded else None)

    def rollout(self, sampling: Mapping[str, Any], uid: str, session: int) -> dict[str, Any]:
        """For one session of a training prompt."""
        return self._with(sampling, ROLLOUT, uid, session)

    def reflection(self, sampling: Mapping[str, Any], uid: str) -> dict[str, Any]:
        """For the one reflection of a training prompt."""
        return self._with(sampling, REFLECTION, uid, 0)

    def validation(
        self, sampling: Mapping[str, Any], trajectory: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """For one session of a validation prompt, given verl's trajectory info and its fields.

        verl names these prompts at random and shuffles them; they are told by their index and text.
        """
        if self.seed is None:
            return dict(sampling)
        step = int(trajectory["step"])
        told_by = json.dumps([step, str(fields["index"]), texts(fields["raw_prompt"])])
        return self._with(sampling, VALIDATION, told_by, fields["session_id"])

    def _with(
        self, sampling: Mapping[str, Any], purpose: str, uid: str, session: int
    ) -> dict[str, Any]:
        if self.seed is None:
            return dict(sampling)
        return {**sampling, "seed": decoding_seed(self.seed, uid, int(session), purpose)}


def seed_of_turn(sampling: Mapping[str, Any], prompt_ids: Sequence[int]) -> dict[str, Any]:
    """The parameters of one request of a session, whose turns share parameters.

    Turns are told apart by what they go on from, which grows. Without it the second would be drawn
    with the first one's random numbers.
    """
    if "seed" not in sampling:
        return dict(sampling)
    seed = decoding_seed(int(sampling["seed"]), len(prompt_ids), 0, TURN)
    return {**sampling, "seed": seed}


class SeededClient:
    """verl's rollout client; each request of a seeded session has a seed of its own."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def generate(
        self,
        request_id: str,
        *,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        """As verl's, with `seed_of_turn`."""
        sampling_params = seed_of_turn(sampling_params, prompt_ids)
        return await self._client.generate(
            request_id, prompt_ids=prompt_ids, sampling_params=sampling_params, **kwargs
        )
