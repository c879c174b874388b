"""What a method or an ablation must have done in a run of two steps.

Numbers are recomputed here from the run's record, by the paper's formulas.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

Row = dict[str, Any]
CUE = "Look again."


@dataclass
class Evidence:
    """A finished run: its metrics by step, and what its record holds."""

    folder: Path
    metrics: dict[int, dict[str, Any]]

    @cached_property
    def records(self) -> Path:
        (folder,) = self.folder.glob("checkpoints/care-verl/*/records")
        return folder

    @cached_property
    def rows(self) -> list[Row]:
        files = sorted(self.records.glob("step_*.parquet"))
        assert len(files) == 2
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    @cached_property
    def care(self) -> dict[str, Any]:
        """The settings of CARE in force."""
        (text,) = pq.read_table(self.records / "run_001.parquet")["config"].to_pylist()
        settings: dict[str, Any] = json.loads(text)["algorithm"]["care"]
        return settings

    def groups(self, kind: str) -> list[list[Row]]:
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row["kind"] == kind:
                found[row["uid"]].append(row)
        assert found, f"no group is {kind}"
        return list(found.values())

    def total(self, name: str) -> float:
        return sum(self.metrics[step].get(name, 0.0) for step in (1, 2))

    def having(self, **values: Any) -> list[Row]:
        """Rows of the update with these values; at least one."""
        found = [
            row
            for row in self.rows
            if row["advantage"] and all(row[key] == value for key, value in values.items())
        ]
        assert found, f"no updated row has {values}"
        return found


def reflections(run: Evidence) -> list[Row]:
    found = [row for row in run.rows if row["reflected_from"] >= 0]
    assert found, "no reflection was decoded"
    return found


def scale(row: Row, run: Evidence) -> float:
    """|A| / |A_raw| without the equalisation (Eq. 8)."""
    K = run.care["K"]
    equalised = math.sqrt(K / row["k_s"]) if run.care["equalize"] and row["k_s"] < K else 1.0
    return float(abs(row["advantage"]) / abs(row["advantage_raw"]) / equalised)


def decoded(row: Row, region: str) -> list[float]:
    """Credits of the decoded tokens of the row's rationale, or of its answer."""
    begin, end = row[region] or (0, 0)
    return [
        credit
        for credit, mask in list(zip(row["credit"], row["response_mask"], strict=True))[begin:end]
        if mask
    ]


def answered(rows: list[Row]) -> list[Row]:
    """Those with an answer: of the others the whole response counts as one."""
    found = [row for row in rows if decoded(row, "answer")]
    assert found, "no row has an answer"
    return found


# Methods.


def care(run: Evidence) -> None:
    assert {row["rgr_cue"] for row in reflections(run)} == {CUE}
    assert 0 < run.total("care/rows/updated") < run.total("care/rows/total")
    equalised = [row for row in run.having(role="anchor") if row["k_s"] < 4]
    for row in equalised:
        factor = row["advantage"] / row["advantage_raw"]
        assert factor == pytest.approx(math.sqrt(4 / row["k_s"]), rel=1e-4)
    # rw: an answer token counts 200 times as much as a token of a right row's rationale.
    for row in run.having(role="anchor", acc=1.0):
        weights = [credit / decoded(row, "answer")[0] for credit in decoded(row, "rationale")]
        assert weights == pytest.approx([0.005] * len(weights), rel=1e-3)
    for row in answered(run.having(role="negative")):
        assert not any(decoded(row, "rationale"))


def no_reflection(run: Evidence) -> None:
    assert run.total("care/groups/mixed") > 0
    assert run.total("care/rgr/triggered") == 0
    assert all(row["reflected_from"] < 0 for row in run.rows)


def grpo(run: Evidence) -> None:
    assert run.total("actor/pg_clipfrac") == 0
    assert not any(key.startswith("care/") for key in run.metrics[1])
    assert run.metrics[1]["actor/kl_coef"] == 0.02
    assert "training/filter_groups/evicted_samples" not in run.metrics[1]


def dapo(run: Evidence) -> None:
    assert "actor/kl_loss" not in run.metrics[1]
    # About a third of the groups are all wrong: sixteen mixed ones cost some.
    assert run.total("training/filter_groups/evicted_samples") > 0


def gspo(run: Evidence) -> None:
    assert "actor/kl_loss" not in run.metrics[1]
    # So narrow a clip bites in the first step; at 0.2 nothing is clipped there.
    assert run.total("actor/pg_clipfrac") > 0


def grpo_care(run: Evidence) -> None:
    assert "actor/kl_loss" not in run.metrics[1]
    # Two mini-batches a step.
    assert run.metrics[2]["grpo_care/ema/optimizer_steps"] == 4


# Ablations.


def at_most(K: int, equalised: bool) -> Callable[[Evidence], None]:
    def check(run: Evidence) -> None:
        # Where every subgroup is full, only the setting shows that nothing is equalised.
        assert run.care["equalize"] is equalised
        assert max(row["k_prime"] for row in run.rows) in range(min(K, 5), K + 1)
        for row in run.having(role="anchor"):
            factor = math.sqrt(K / row["k_s"]) if equalised and row["k_s"] < K else 1.0
            assert row["advantage"] == pytest.approx(row["advantage_raw"] * factor, rel=1e-4)

    return check


def random_anchor(run: Evidence) -> None:
    """In some group it is not the one that Eq. 2 takes."""

    def length(row: Row, region: str) -> int:
        begin, end = row[region] or (0, 0)
        return int(end - begin)

    def other(group: list[Row]) -> bool:
        right = [row for row in group if row["acc"] == 1 and row["reflected_from"] < 0]
        first = min(
            right, key=lambda r: (length(r, "rationale"), length(r, "answer"), r["session"])
        )
        return first["role"] != "anchor"

    assert any(other(group) for group in run.groups("mixed"))


def chosen_distances(run: Evidence) -> list[tuple[list[float], list[float]]]:
    """Of each group with more failures than negatives: d_cos of those taken, and of all of them.

    Ranks would not do: rationales of the same words are at the same distance, and which of them a
    selector takes is a matter of row order.
    """
    found = []
    for group in [*run.groups("mixed"), *run.groups("all_wrong")]:
        failures = [r for r in group if r["rank"] is not None and r["role"] != "anchor"]
        taken = [r["d_cos"] for r in failures if r["role"] == "negative" or r["is_source"]]
        if 0 < len(taken) < len(failures):
            found.append((sorted(taken), sorted(row["d_cos"] for row in failures)))
    assert any(len(set(distances)) > 1 for _, distances in found)
    return found


def farthest(run: Evidence) -> None:
    assert all(taken == all_of[-len(taken) :] for taken, all_of in chosen_distances(run))


def mixed(run: Evidence) -> None:
    for taken, all_of in chosen_distances(run):
        near = -(-len(taken) // 2)
        assert taken == all_of[:near] + all_of[len(all_of) - (len(taken) - near) :]


def random_negatives(run: Evidence) -> None:
    """The nearest, which the paper's selector always keeps, is left out of some group."""
    assert any(taken[0] != all_of[0] for taken, all_of in chosen_distances(run))


def negatives_scaled(s: float) -> Callable[[Evidence], None]:
    def check(run: Evidence) -> None:
        for row in run.having(role="negative", reflected_from=-1):
            assert scale(row, run) == pytest.approx(s, rel=1e-4)

    return check


def reflections_scaled(s_refl: float) -> Callable[[Evidence], None]:
    def check(run: Evidence) -> None:
        failed = [r for r in run.having(role="negative") if r["reflected_from"] >= 0]
        assert failed
        for row in failed:
            assert scale(row, run) == pytest.approx(s_refl, rel=1e-4)

    return check


def no_rescue(run: Evidence) -> None:
    assert run.total("care/groups/rescued") == 0
    assert not any(row["advantage"] for group in run.groups("all_wrong") for row in group)


def no_cue(run: Evidence) -> None:
    assert {row["rgr_cue"] for row in reflections(run)} == {None}
    assert all(row["rgr_prefix_tokens"] for row in reflections(run))


def random_resample(run: Evidence) -> None:
    assert not any(row["rgr_prefix_tokens"] for row in reflections(run))


def answer_only_resample(run: Evidence) -> None:
    """What is given ends with the opened answer."""
    for row in reflections(run):
        given = [p for p, m in zip(row["pieces"], row["response_mask"], strict=True) if not m]
        assert b"".join(given).rstrip().endswith(b"<answer>")


def uniform(run: Evidence) -> None:
    for row in run.having():
        credits = [c for c, m in zip(row["credit"], row["response_mask"], strict=True) if m]
        assert credits == pytest.approx([credits[0]] * len(credits), rel=1e-4)


def answer_only(run: Evidence) -> None:
    for row in answered(run.having()):
        assert not any(decoded(row, "rationale"))
        assert all(decoded(row, "answer"))


def failures_unmasked(run: Evidence) -> None:
    for row in answered(run.having(role="negative", reflected_from=-1)):
        weights = [credit / decoded(row, "answer")[0] for credit in decoded(row, "rationale")]
        assert weights == pytest.approx([0.005] * len(weights), rel=1e-3)


def robust(run: Evidence) -> None:
    """With two levels of reward both ways give the same numbers: only the setting shows."""
    assert run.care["normalization"] == "robust"


EFFECTS: dict[str, Callable[[Evidence], None]] = {
    "method/care": care,
    "method/care_no_rgr": no_reflection,
    "method/grpo": grpo,
    "method/dapo": dapo,
    "method/gspo": gspo,
    "method/grpo_care": grpo_care,
    "ablation/k2": at_most(2, True),
    "ablation/k6": at_most(6, True),
    "ablation/eq_off": at_most(4, False),
    "ablation/k2_eq_off": at_most(2, False),
    "ablation/k6_eq_off": at_most(6, False),
    "ablation/anchor_random": random_anchor,
    "ablation/selector_mixed": mixed,
    "ablation/selector_farthest": farthest,
    "ablation/selector_random": random_negatives,
    "ablation/s_0_3": negatives_scaled(0.3),
    "ablation/s_0_7": negatives_scaled(0.7),
    "ablation/s_1_0": negatives_scaled(1.0),
    "ablation/s_refl_quarter": reflections_scaled(0.125),
    "ablation/s_refl_three_quarters": reflections_scaled(0.375),
    "ablation/s_refl_full": reflections_scaled(0.5),
    "ablation/rescue_off": no_rescue,
    "ablation/rgr_no_cue": no_cue,
    "ablation/rgr_random": random_resample,
    "ablation/rgr_off": no_reflection,
    "ablation/rgr_authors": answer_only_resample,
    "ablation/regions_uniform": uniform,
    "ablation/regions_answer_only": answer_only,
    "ablation/regions_fail_unmasked": failures_unmasked,
    "ablation/robust": robust,
}
"""Recipe -> what its run must show beside two steps and an evaluation."""


def check_effect(name: str, run: Evidence) -> None:
    EFFECTS[name](run)
