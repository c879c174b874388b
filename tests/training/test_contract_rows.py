"""What verl 0.9.1 and its queue make of rows: called where an adapter counts on it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from transfer_queue.metadata import BatchMeta
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils import tensordict_utils as tu
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from care_verl.training.care import worker
from care_verl.training.queue_rows import plain
from care_verl.training.recording import held_step


def test_mini_batches_are_contiguous_rows() -> None:
    """Padding is dealt over them on this assumption; it holds with `actor.shuffle=False`."""
    data = TensorDict({"row": torch.arange(6)}, batch_size=6)
    cut = tu.make_iterator(
        data, mini_batch_size=2, epochs=1, seed=7, dataloader_kwargs={"shuffle": False}
    )
    assert [part["row"].tolist() for part in cut] == [[0, 1], [2, 3], [4, 5]]


def test_a_divisible_batch_is_not_padded_by_verl() -> None:
    batch = KVBatchMeta(partition_id="train", keys=["a", "b"], tags=[{}, {}])
    assert upsample_batch_to_divisible_size(batch, 2, eos_token_id=0) is batch


def test_a_tag_put_later_keeps_the_earlier_ones() -> None:
    """`_note_skipped` adds one tag to a row that is in the queue."""
    meta = BatchMeta(global_indexes=[0], partition_ids=["train"])
    meta.update_custom_meta([{"seq_len": 9}])
    meta.update_custom_meta([{"care_rgr_skipped": "timeout"}])
    assert list(meta.custom_meta) == [{"seq_len": 9, "care_rgr_skipped": "timeout"}]


def test_row_fields_are_stacked_or_jagged() -> None:
    """Equal shapes become a dense tensor, others a nested one; both unbind to the rows."""
    equal = list_of_dict_to_tensordict([{"x": torch.ones(2)}, {"x": torch.zeros(2)}])["x"]
    uneven = list_of_dict_to_tensordict([{"x": torch.ones(2)}, {"x": torch.zeros(1)}])["x"]
    assert (equal.is_nested, uneven.is_nested) == (False, True)
    assert [row.tolist() for row in uneven.unbind()] == [[1.0, 1.0], [0.0]]
    flags = list_of_dict_to_tensordict([{"x": torch.ones(1)}, {"x": torch.zeros(1)}])["x"]
    assert worker.global_row_count(flags, None, "cpu") == 1
    ragged = torch.nested.as_nested_tensor([torch.ones(1), torch.zeros(1)], layout=torch.jagged)
    assert worker.global_row_count(ragged, None, "cpu") == 1


def test_messages_and_measurements_come_out_of_the_queue_as_they_went_in() -> None:
    """`recording.held_step` reads columns of lists and mappings, from one row or several."""
    rows = [
        {
            "raw_prompt": [{"role": "user", "content": [{"type": "image", "care": b"x"}]}] * n,
            "metrics": AgentLoopMetrics(generate_sequences=n).model_dump(exclude_unset=True),
            "index": n,
            "data_source": "charts",
        }
        for n in (1, 2)
    ]
    for chosen in (rows, rows[:1]):
        table = list_of_dict_to_tensordict(chosen)
        for name in rows[0]:
            assert held_step._values(table[name]) == [row[name] for row in chosen], name


def test_fields_of_one_row_come_out_of_the_queue_as_they_went_in() -> None:
    """`recording.capture` reads a row's fields by name; an array has a `data` of its own."""
    row = {"pixels": np.ones(2), "sizes": {"data": 3}, "ids": torch.ones(2), "note": None}
    found = {name: plain(value) for name, value in list_of_dict_to_tensordict([row])[0].items()}
    assert found["pixels"] is row["pixels"]
    assert (found["sizes"], found["note"]) == (row["sizes"], None)
    assert found["ids"].tolist() == [1.0, 1.0]


def test_the_replay_buffer_has_a_poll_interval() -> None:
    buffer = ReplayBuffer("sync", SimpleNamespace(), None, "drop", {})  # type: ignore[arg-type]
    assert buffer.poll_interval == 2.0
