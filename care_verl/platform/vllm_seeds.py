"""Lets requests with a seed have their prompts cut into chunks.

vLLM samples a token behind each chunk of a prompt and throws it away; the request's generator, if
it has a seed, is then set back by an offset. CPU generators of torch have no offset: the engine
dies with `CPU Generator does not use offset`. Here such a token is drawn from a generator that
nobody else uses, and the request's own one stays where it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from care_verl.platform.contract import require_parameters, require_source

RUNNER = "vllm.v1.worker.cpu_model_runner"
_OFFSET = 4


class _Discarded(torch.Generator):
    """Tokens drawn from it are thrown away, so it need not be set back."""

    def get_offset(self) -> int:
        return _OFFSET

    def set_offset(self, offset: int) -> torch.Generator:
        """Do nothing."""
        return self


def spare_generators(cpu_model_runner: Any) -> None:
    """Wrap `CPUModelRunner.sample_tokens`."""
    runner = cpu_model_runner.CPUModelRunner
    sample = runner.sample_tokens
    require_parameters(sample, "self", "grammar_output")
    require_source(runner._bookkeeping_sync, "gen.set_offset(gen.get_offset() - 4)")
    require_source(runner._bookkeeping_sync, "self.discard_request_mask.np[:num_reqs]")
    discarded = _Discarded()

    def sample_tokens(self: Any, grammar_output: Any) -> Any:
        batch = self.input_batch
        rows = np.flatnonzero(self.discard_request_mask.np[: batch.num_reqs]).tolist()
        own = {row: batch.generators[row] for row in rows if row in batch.generators}
        batch.generators.update(dict.fromkeys(own, discarded))
        try:
            return sample(self, grammar_output)
        finally:
            batch.generators.update(own)

    runner.sample_tokens = sample_tokens
