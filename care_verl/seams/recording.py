"""What the record of a run is read from."""

from __future__ import annotations

from care_verl.seams.places import DATASET, TRAINER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "the first step comes behind the one that was loaded",
        "training.recording.recorder",
        f"{TRAINER}.fit",
        fragments=(
            "self.global_steps += 1",
            "self.on_train_begin()",
            "batch = self.step(",
        ),
    ),
    Seam(
        "all of a step's own metrics are known when the last are computed",
        "training.recording.recorder",
        f"{TRAINER}.fit",
        fragments=(
            "metrics.update(self._consume_sync_metrics())",
            "metrics.update(val_metrics)",
            "self._compute_metrics(batch, metrics",
            "metrics.pop(DAPO_FILTERED_REWARD_COUNTS_KEY, None)",
            "self.logger.log(data=metrics",
        ),
    ),
    Seam(
        "the trainer has the tokenizer",
        "training.recording.recorder",
        f"{TRAINER}._init_tokenizer",
        fragments=("self.tokenizer = model_config.tokenizer",),
    ),
    Seam(
        "a row of the queue has its prompt as the dataset gives it",
        "training.recording.held_step",
        f"{DATASET}.__getitem__",
        fragments=(
            'row_dict["raw_prompt"] = self._build_messages(',
            'row_dict["index"] = index',
        ),
    ),
    Seam(
        "a session measures its decoding",
        "training.recording.held_step",
        "verl.experimental.agent_loop.single_turn_agent_loop:SingleTurnAgentLoop.run",
        fragments=(
            'simple_timer("generate_sequences", metrics)',
            "metrics=metrics",
        ),
    ),
)
