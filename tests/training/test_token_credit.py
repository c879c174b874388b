"""Per-token advantages as the queue gets them, by hand (gamma_pos = 0.005)."""

from __future__ import annotations

import pytest
import torch

from care_verl.algorithm import CareConfig
from care_verl.training.care.step_rows import StepRows
from care_verl.training.care.token_credit import credit_fields, no_credit, unpaid_answers
from care_verl.training.fields import IN_S_STAR

from .samples import MALFORMED, WELL_FORMED, record, spans_of, step_rows

# The first three tokens are copied: opening tag, failed rationale, cue.
REFLECTED = (b"<think>", b"x", b"cue", *WELL_FORMED[2:])


def rows() -> StepRows:
    """A positive, a well-formed failure, a malformed failure and a successful reflection."""
    return step_rows(
        [
            ("u", record(0, 1.0), [1.0, 0.0]),
            ("u", record(1, 0.0), [0.0, 1.0]),
            ("u", record(2, 0.0, spans=spans_of(MALFORMED)), [0.0, 0.0]),
            ("u", record(3, 1.0, spans=spans_of(REFLECTED), reflected_from=1), None),
        ],
        masks=[[1] * 8, [1] * 8, [1] * 4, [0, 0, 0, 1, 1, 1, 1, 1, 1]],
    )


ADVANTAGE = torch.tensor([2.0, -1.0, -1.0, 2.0])


def test_credit_by_hand() -> None:
    """Positive: two rationale tokens and one answer token share 2 as 0.005 : 0.005 : 1."""
    fields, without_weight = credit_fields(rows(), ADVANTAGE, [0, 1, 2, 3], CareConfig())
    low, high = 2 * 0.005 / 1.01, 2 / 1.01
    expected = {
        "u_0_0": [0, low, low, 0, 0, high, 0, 0],
        "u_1_0": [0, 0, 0, 0, 0, -1, 0, 0],
        "u_2_0": [-0.25] * 4,
        "u_3_0": [0, 0, 0, 2 * 0.005 / 1.005, 0, 0, 2 / 1.005, 0, 0],
    }
    assert list(fields) == list(expected)
    for key, row in expected.items():
        assert fields[key]["advantages"].tolist() == pytest.approx(row, abs=1e-6)
        assert fields[key]["advantages"].dtype == torch.float32
        assert fields[key]["returns"].tolist() == fields[key]["advantages"].tolist()
        assert fields[key][IN_S_STAR].tolist() == [1.0]
    assert without_weight == 0


def test_the_sum_of_a_row_is_its_advantage() -> None:
    fields, _ = credit_fields(rows(), ADVANTAGE, [0, 1, 2, 3], CareConfig())
    sums = torch.stack([field["advantages"].sum() for field in fields.values()])
    torch.testing.assert_close(sums, ADVANTAGE)


def test_only_the_updated_rows_get_credit() -> None:
    """A subset far apart in the batch: each row keeps its own spans, mask and advantage."""
    advantage = torch.tensor([0.0, 0.0, -1.0, 2.0])
    fields, _ = credit_fields(rows(), advantage, [2, 3], CareConfig())
    assert list(fields) == ["u_2_0", "u_3_0"]
    assert fields["u_2_0"]["advantages"].tolist() == pytest.approx([-0.25] * 4)
    assert fields["u_3_0"]["advantages"][6].item() == pytest.approx(2 / 1.005)


def test_rows_left_without_weight_are_counted() -> None:
    config = CareConfig.from_mapping({"regions": {"missing_answer": "none"}})
    fields, without_weight = credit_fields(rows(), ADVANTAGE, [1, 2], config)
    assert without_weight == 1
    assert fields["u_2_0"]["advantages"].tolist() == [0.0] * 4
    assert fields["u_2_0"][IN_S_STAR].tolist() == [1.0]


def test_an_answer_without_weight_is_counted() -> None:
    """Here the answer of a reflection was copied, so that none of its tokens was decoded."""
    made = rows()
    fields, _ = credit_fields(made, ADVANTAGE, [0, 1, 2, 3], CareConfig())
    assert unpaid_answers(made, fields) == 0
    made.masks[3][6] = 0
    fields, _ = credit_fields(made, ADVANTAGE, [0, 1, 2, 3], CareConfig())
    assert unpaid_answers(made, fields) == 1


def test_no_updated_rows() -> None:
    assert credit_fields(rows(), torch.zeros(4), [], CareConfig()) == ({}, 0)


def test_padding_has_no_credit_and_no_vote() -> None:
    fields = no_credit(3)
    assert fields["advantages"].tolist() == fields["returns"].tolist() == [0.0] * 3
    assert fields[IN_S_STAR].tolist() == [0.0]
