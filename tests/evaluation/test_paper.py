"""The paper's tables, and whose rows stand beside a model.

The transcription itself was made from the paper's text; here its own sums are checked.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from care_verl.tools.evaluation.benchmarks import PAPER
from care_verl.tools.evaluation.paper import TABLES, backbone_of, backbones, paper_rows

WRITTEN = json.loads(TABLES.read_text())


def test_every_row_has_the_papers_six() -> None:
    rows = [*WRITTEN["table1"], *WRITTEN["table2"]]
    assert {tuple(row["accuracy"]) for row in rows} == {PAPER}
    assert (len(WRITTEN["table1"]), len(WRITTEN["table2"])) == (25, 8)


@pytest.mark.parametrize("row", WRITTEN["table2"], ids=lambda row: row["config"])
def test_table_2_adds_up(row: dict) -> None:
    """Its averages are the means of its own columns, to the two digits printed; and so are its
    gains over GRPO."""
    values = list(row["accuracy"].values())
    assert row["average"] == pytest.approx(sum(values) / len(values), abs=0.0051)
    (grpo,) = (
        other["average"]
        for other in WRITTEN["table2"]
        if other["backbone"] == row["backbone"] and other["config"] == "GRPO (Baseline)"
    )
    if row["over_grpo"] is not None:
        assert row["over_grpo"] == pytest.approx(row["average"] - grpo, abs=0.0051)


def test_table_1_agrees_with_table_2() -> None:
    """Base, GRPO and CARE stand in both."""
    names = {"Base (Instruct)": "{}", "GRPO (Baseline)": "{} + GRPO", "CARE": "{} + CARE"}
    first = {row["model"]: row["accuracy"] for row in WRITTEN["table1"]}
    compared = 0
    for row in WRITTEN["table2"]:
        name = names.get(row["config"], "").format(row["backbone"])
        if name in first:
            assert first[name] == row["accuracy"]
            compared += 1
    assert compared == 5


def test_macro_averages_of_the_text() -> None:
    """Section 4.2: 50.57 (CARE), 49.87 (GSPO), 48.30 (DAPO), 45.95 (GRPO) on the 7B backbone."""
    rows = {row.name: row.average for row in paper_rows("Qwen2.5-VL-7B") if row.table == 1}
    named = {"CARE": 0.5057, "GSPO": 0.4987, "DAPO": 0.4830, "GRPO": 0.4595}
    for method, average in named.items():
        assert rows[f"Qwen2.5-VL-7B + {method}"] == pytest.approx(average, abs=5.1e-5)


def test_a_dash_is_no_number() -> None:
    instruct = paper_rows("Qwen3-VL-8B")[0]
    assert set(PAPER) - set(instruct.accuracy) == {"mmmu_pro_standard", "mmmu_pro_vision"}
    assert instruct.average is None


def config(folder: Path, model_type: str, **text: int) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "text_config": text}))
    return folder


def test_a_checkpoint_is_known_by_its_shape(tmp_path: Path) -> None:
    folder = config(tmp_path, "qwen2_5_vl", hidden_size=3584, num_hidden_layers=28)
    assert backbone_of(str(folder), folder) == "Qwen2.5-VL-7B"
    folder = config(tmp_path, "qwen2_5_vl", hidden_size=128, num_hidden_layers=3)
    assert backbone_of(str(folder), folder) is None


def test_a_hub_id_is_known_by_its_name() -> None:
    assert backbone_of("Qwen/Qwen3-VL-8B-Instruct", None) == "Qwen3-VL-8B"
    assert backbone_of("other/model", None) is None


def test_another_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match=f"expected one of {', '.join(backbones())}"):
        paper_rows("Qwen2.5-VL-72B")
