"""Rows with and without an image in one run, each in a micro-batch of its own.

That the model answers a question about a chart that it cannot see is not asked for.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.data.columns import IMAGE_PLACEHOLDER
from care_verl.data.embedded.coldstart import EmbeddedPaths

from .running import Run

pytestmark = [pytest.mark.e2e, pytest.mark.proof]


def every_other_row_without_its_image(source: Path, target: Path) -> None:
    table = pq.read_table(source)
    rows = table.to_pylist()
    for row in rows[::2]:
        row["images"] = []
        for message in row["prompt"]:
            message["content"] = message["content"].replace(IMAGE_PLACEHOLDER, "")
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), target)


def test_two_steps_with_texts_and_images(
    overrides: list[str], embedded: EmbeddedPaths, tmp_path: Path
) -> None:
    """Micro-batches of one row: those of texts have no image at all, in any pass."""
    every_other_row_without_its_image(embedded.train, tmp_path / "train.parquet")
    one_row = ("actor.ppo", "rollout.log_prob", "ref.log_prob")
    settings = [
        *overrides,
        f"data.train_files={tmp_path / 'train.parquet'}",
        f"trainer.default_local_dir={tmp_path / 'checkpoints'}",
        "actor_rollout_ref.actor.use_dynamic_bsz=False",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=False",
        "actor_rollout_ref.ref.log_prob_use_dynamic_bsz=False",
        *(f"actor_rollout_ref.{name}_micro_batch_size_per_gpu=1" for name in one_row),
    ]
    with Run(tmp_path / "run", settings) as run:
        assert run.finish() == 0, run.tail()
    for _, data in run.metrics():
        assert data["care/rows/updated"] > 0
        for kind in ("image", "text"):
            assert data[f"care/parity/original_{kind}_max"] < 5e-3
        assert data["care/updated/actor/entropy"] > 0
        assert data["perf/total_num_tokens"] > data["care/tokens/total"]
