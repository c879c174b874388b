"""What vLLM's worker learns: verl's worker extension and one method to install the harvest."""

from __future__ import annotations

from typing import Any

import torch
from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension
from vllm.distributed import get_pp_group, get_tp_group

from care_verl.algorithm.automaton import RationaleAutomaton
from care_verl.rollout.channel import EmbeddingSender
from care_verl.rollout.harvest import RationaleHarvest
from care_verl.rollout.runner import check_runner, hook
from care_verl.rollout.settings import HarvestSettings
from care_verl.rollout.slots import SlotTable

INSTALL = "care_install_harvest"


class HarvestWorkerExtension(vLLMColocateWorkerExtension):  # type: ignore[misc]
    """verl's extension of the vLLM worker (weight sync), able to harvest rationales."""

    model_runner: Any

    def care_install_harvest(
        self, settings: dict[str, Any], pieces: list[bytes], server_path: str
    ) -> None:
        """Hook this worker's model runner and connect to the server.

        Hidden states are the same on all tensor-parallel ranks, and only the last pipeline stage
        has them: one rank an engine harvests, the others return at once.

        Args:
            settings: `HarvestSettings` as a mapping.
            pieces: bytes of each token id (`care_verl.common.vocabulary`).
            server_path: the server's Unix socket.
        """
        if not (get_pp_group().is_last_rank and get_tp_group().is_first_rank):
            return
        runner = self.model_runner
        check_runner(runner)
        config = runner.model_config
        # A model's vocabulary is padded beyond the tokenizer's.
        padding = [b""] * (config.get_vocab_size() - len(pieces))
        tags = HarvestSettings.from_mapping(settings).tags
        automaton = RationaleAutomaton.build([*pieces, *padding], tags, ())
        table = SlotTable(automaton, config.get_hidden_size(), torch.device(runner.device))
        hook(runner, RationaleHarvest(table, EmbeddingSender(server_path).put))
