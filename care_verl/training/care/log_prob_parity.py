"""vLLM's log-probabilities against the actor's, on the rows of each step, before its update."""

from __future__ import annotations

import transfer_queue as tq
from transfer_queue import KVBatchMeta

from care_verl.algorithm.config import ParityConfig
from care_verl.algorithm.groups import ORIGINAL
from care_verl.algorithm.parity import ScoredRow, parity_metrics, worst_token
from care_verl.common.errors import CareVerlError
from care_verl.training.care.row import CareRow
from care_verl.training.care.step_rows import StepRows

FIELDS = ["rollout_log_probs", "old_log_probs", "response_mask"]


class ParityError(CareVerlError, RuntimeError):
    """vLLM and the actor disagree about a decoded token: the update would be a wrong one."""


def checked_parity(
    batch: KVBatchMeta, rows: StepRows, config: ParityConfig, step: int
) -> dict[str, float]:
    """The `care/parity/` metrics over the decoded tokens of the rows of `batch`.

    Padding is left out: copies by their tag, and real rows because their masks are cleared.

    Raises ParityError where a token's distance is above `config.max_difference`.
    """
    records = dict(zip(rows.keys, rows.records, strict=True))
    pairs = zip(batch.keys, batch.tags, strict=True)
    keys = [key for key, tag in pairs if key in records and not tag.get("is_padding")]
    scored = _scored_rows(keys, batch.partition_id, records)
    metrics = parity_metrics(scored)
    limit = config.max_difference
    if limit is not None and metrics["tokens"]:
        row, token = worst_token(scored)
        gap = float(scored[row].gaps[token])
        if gap > limit:
            raise ParityError(_message(step, keys[row], scored[row], token, gap, limit))
    return {f"care/parity/{name}": value for name, value in metrics.items()}


def _scored_rows(
    keys: list[str], partition_id: str, records: dict[str, CareRow]
) -> list[ScoredRow]:
    if not keys:
        return []
    data = tq.kv_batch_get(keys=keys, partition_id=partition_id, select_fields=FIELDS)
    columns = [data[name].unbind() for name in FIELDS]
    with_image = [records[key].images > 0 for key in keys]
    mixed = len(set(with_image)) == 2
    return [
        ScoredRow(sampled, scored, mask, _kinds(records[key], mixed))
        for key, sampled, scored, mask in zip(keys, *columns, strict=True)
    ]


def _kinds(record: CareRow, mixed: bool) -> tuple[str, ...]:
    """`original` or `reflected`; where some rows have images and some none, also with which."""
    kind = "original" if record.reflected_from == ORIGINAL else "reflected"
    if not mixed:
        return (kind,)
    return kind, f"{kind}_{'image' if record.images else 'text'}"


def _message(step: int, key: str, row: ScoredRow, token: int, gap: float, limit: float) -> str:
    return (
        f"step {step}, row {key} ({row.kinds[-1]}), response token {token}: vLLM sampled it at "
        f"log-probability {float(row.sampled[token]):.6g}, the actor scores it at "
        f"{float(row.scored[token]):.6g}; the distance {gap:.3g} is above "
        f"algorithm.care.parity.max_difference = {limit:g}. The step was not trained on. Usual "
        "causes: vLLM has other weights than the actor (a weight update that did not arrive, "
        "rollout.load_format=dummy); the row is scored under another context than it was decoded "
        "in; a dtype below float32, for which the limit is too tight (docs/metrics.md)"
    )
