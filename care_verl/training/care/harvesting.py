"""The rollout client of a CARE worker: what each request of a session needs beside verl's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from care_verl.platform.seam import Seam
from care_verl.training.fields import HARVEST
from care_verl.training.run.seeding import SeededClient

RELIES_ON = (
    Seam(
        "verl.workers.rollout.llm_server:LLMServerClient.generate",
        "harvesting.generate",
        parameters="self, request_id, prompt_ids, sampling_params, image_data, video_data, "
        "audio_data, mm_processor_kwargs, kwargs",
    ),
)


class HarvestingClient(SeededClient):
    """Requests marked with `HARVEST` also say where their rationale begins.

    `opens_rationale(prompt_ids)` tells whether a prompt already holds the opening tag. That shows
    only in the finished prompt, which a session builds itself.
    """

    def __init__(self, client: Any, opens_rationale: Callable[[Sequence[int]], bool]) -> None:
        super().__init__(client)
        self._opens_rationale = opens_rationale

    async def generate(
        self,
        request_id: str,
        *,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        """As verl's, with the harvest request completed."""
        if sampling_params.get(HARVEST):
            begins = {"prefilled": self._opens_rationale(prompt_ids)}
            sampling_params = {**sampling_params, HARVEST: begins}
        return await super().generate(
            request_id, prompt_ids=prompt_ids, sampling_params=sampling_params, **kwargs
        )
