"""The actor-side oracle and the comparison with harvested embeddings, by hand.

A linear head stands in for the model; that verl's engine calls the same methods in the same order
stands in `care.actor_pooling`, that both sides agree on a real model is shown in `tests/rollout`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from transfer_queue import KVBatchMeta

from care_verl.training.care.actor_pooling import OraclePooling, pool_positions
from care_verl.training.care.cross_check import (
    embedding_distance,
    measured_distance,
    put_ranges,
    rationale_range,
)
from care_verl.training.fields import ORACLE, RATIONALE_RANGE

from .samples import MALFORMED, WELL_FORMED, MemoryQueue, record, spans_of, step_rows


@pytest.mark.parametrize(
    ("pieces", "reflected_from", "found"),
    [
        (WELL_FORMED, -1, [11, 13]),
        ((b"<think>", b"a", b"b", b""), -1, [11, 13]),
        ((b"<think>", b"a", b"b"), -1, [11, 12]),
        (MALFORMED, -1, [0, 0]),
        (WELL_FORMED, 2, [0, 0]),
    ],
)
def test_rationale_range(pieces: tuple[bytes, ...], reflected_from: int, found: list[int]) -> None:
    """Ten prompt tokens. The last response token was never fed: the third row pools `a` alone."""
    row = record(0, 1.0, spans=spans_of(pieces), reflected_from=reflected_from)
    assert rationale_range(row, prompt_len=10, response_len=len(pieces)).tolist() == found


def test_distance_by_hand() -> None:
    """Two rows were pooled on both sides, at distances 0 and 1; lengths do not matter."""
    ours = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    theirs = torch.tensor([[1.0, 0.0], [3.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert embedding_distance(ours, theirs) == {
        "care/embedding/cross_checked": 2.0,
        "care/embedding/distance_max": pytest.approx(1.0),
        "care/embedding/distance_mean": pytest.approx(0.5),
    }


def test_nothing_to_compare() -> None:
    zeros = torch.zeros(2, 3)
    assert embedding_distance(zeros, zeros) == {"care/embedding/cross_checked": 0.0}


def test_ranges_and_distance_find_their_rows_by_key(queue: MemoryQueue) -> None:
    """The batch is in another order than the rows, lacks one and holds a copy for padding."""
    rows = step_rows(
        [
            ("u", record(0, 1.0), [1.0, 0.0]),
            ("u", record(1, 0.0), [0.0, 1.0]),
            ("u", record(2, 0.0), [0.6, 0.8]),
        ]
    )
    batch = KVBatchMeta(partition_id="train", keys=["u_2_0", "pad_0_0", "u_0_0"], tags=[{}] * 3)
    put_ranges(batch, rows)
    ranges = {key: queue.rows[key][RATIONALE_RANGE].tolist() for key in batch.keys}
    assert ranges == {"u_2_0": [3, 5], "pad_0_0": [0, 0], "u_0_0": [3, 5]}

    for key, row in {"u_2_0": [0.0, 1.0], "pad_0_0": [1.0, 0.0], "u_0_0": [1.0, 0.0]}.items():
        queue.rows[key][ORACLE] = torch.tensor(row)
    metrics = measured_distance(batch, rows)
    assert metrics["care/embedding/cross_checked"] == 2.0
    assert metrics["care/embedding/distance_max"] == pytest.approx(0.2)
    assert metrics["care/embedding/distance_mean"] == pytest.approx(0.1)


def test_pooling_by_hand() -> None:
    """Mean (1.5, 2) of length 2.5; in float32 whatever the model computes in."""
    hidden = torch.tensor([[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]], dtype=torch.bfloat16)
    pooled = pool_positions(hidden, 0, 2)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, torch.tensor([0.6, 0.8]))
    assert pool_positions(hidden, 1, 1).tolist() == [0.0, 0.0]


class TinyEngine:
    """verl's engine as far as the oracle sees it: a model with a head, and its outputs."""

    ulysses_sequence_parallel_size = 1

    def __init__(self) -> None:
        self.module = torch.nn.Linear(2, 3)
        self.module.get_output_embeddings = lambda: self.module  # type: ignore[assignment]

    def prepare_model_outputs(
        self, output: Any, output_args: Any, micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, Any]:
        return {"log_probs": "verl's own"}

    def infer(self, hidden: torch.Tensor | None, micro_batch: TensorDict) -> dict[str, Any]:
        output = None if hidden is None else self.module(hidden)
        return self.prepare_model_outputs(
            output=output, output_args={}, micro_batch=micro_batch, logits_processor_func=None
        )


ROWS = [
    torch.tensor([[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]),
    torch.tensor([[5.0, 5.0], [0.0, 2.0]]),
]


def micro_batch(rows: list[torch.Tensor]) -> TensorDict:
    """Row 0 pools positions 0 and 1, row 1 position 1."""
    ids = torch.nested.as_nested_tensor(
        [torch.zeros(len(row), dtype=torch.int64) for row in rows], layout=torch.jagged
    )
    ranges = torch.tensor([[0, 2], [1, 2]][: len(rows)])
    return TensorDict({"input_ids": ids, RATIONALE_RANGE: ranges}, batch_size=len(rows))


def padded() -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(ROWS, batch_first=True, padding_value=7.0)


def packed() -> torch.Tensor:
    return torch.cat(ROWS)[None]


def packed_with_a_tail() -> torch.Tensor:
    return torch.cat([*ROWS, torch.full((3, 2), 7.0)])[None]


@pytest.mark.parametrize("layout", [padded, packed, packed_with_a_tail])
def test_padded_and_packed_rows_are_pooled_alike(layout: Callable[[], torch.Tensor]) -> None:
    engine = TinyEngine()
    data = micro_batch(ROWS)
    with OraclePooling(engine).watching(data):
        output = engine.infer(layout(), data)
    assert output["log_probs"] == "verl's own"
    torch.testing.assert_close(output[ORACLE], torch.tensor([[0.6, 0.8], [0.0, 1.0]]))
    assert not output[ORACLE].requires_grad


def test_a_single_row_is_pooled() -> None:
    engine, data = TinyEngine(), micro_batch(ROWS[:1])
    with OraclePooling(engine).watching(data):
        output = engine.infer(ROWS[0][None], data)
    torch.testing.assert_close(output[ORACLE], torch.tensor([[0.6, 0.8]]))


def untouched(engine: TinyEngine) -> bool:
    return "prepare_model_outputs" not in vars(engine) and not engine.module._forward_pre_hooks


def test_hook_and_override_are_removed() -> None:
    engine, data = TinyEngine(), micro_batch(ROWS)
    oracle = OraclePooling(engine)
    with oracle.watching(data):
        assert not untouched(engine)
        engine.infer(padded(), data)
    assert untouched(engine)
    with pytest.raises(ZeroDivisionError), oracle.watching(data):
        raise ZeroDivisionError
    assert untouched(engine)
    assert ORACLE not in engine.infer(padded(), data)


def test_hidden_states_of_an_earlier_pass_are_forgotten() -> None:
    engine, data = TinyEngine(), micro_batch(ROWS)
    oracle = OraclePooling(engine)
    with oracle.watching(data):
        engine.infer(padded(), data)
    with pytest.raises(RuntimeError, match="use_fused_kernels"), oracle.watching(data):
        engine.infer(None, data)


def test_without_ranges_nothing_is_hooked() -> None:
    engine = TinyEngine()
    data = micro_batch(ROWS).exclude(RATIONALE_RANGE)
    with OraclePooling(engine).watching(data):
        assert untouched(engine)
        assert ORACLE not in engine.infer(padded(), data)


def test_sequence_parallelism_is_refused() -> None:
    engine = TinyEngine()
    engine.ulysses_sequence_parallel_size = 2
    with (
        pytest.raises(ValueError, match="ulysses_sequence_parallel_size = 1"),
        OraclePooling(engine).watching(micro_batch(ROWS)),
    ):
        pass
    assert untouched(engine)
