"""Distances and bounds by hand."""

from __future__ import annotations

import pytest
import torch

from care_verl.tools.certificate.comparison import (
    BETWEEN,
    FLOAT32,
    FLOAT64,
    Breach,
    Distance,
    beyond,
    distance,
)

TRUE = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([0.0, 12.0])}
NOTHING = Distance(0.0, 0.0, 0.0, "a")


def test_distances_by_hand() -> None:
    """Norms 5 and 12, 13 together; b is off by 0.12 and a by 0.1."""
    off = {"a": torch.tensor([3.1, 4.0]), "b": torch.tensor([0.0, 12.12])}
    found = distance(1.5, off, 1.0, TRUE, mass=5.0)
    assert found.loss == pytest.approx(0.1)
    assert found.gradient == pytest.approx((0.1**2 + 0.12**2) ** 0.5 / 13, rel=1e-5)
    assert (found.tensor, found.worst) == (pytest.approx(0.02, rel=1e-5), "a")
    assert found.largest == found.loss


def test_a_gradient_of_zero_has_the_scale_of_all() -> None:
    true = {"a": torch.tensor([1.0]), "b": torch.tensor([0.0])}
    found = distance(0, {"a": torch.tensor([1.0]), "b": torch.tensor([1e-9])}, 0, true, 1)
    assert found.tensor == pytest.approx(1e-3)
    assert found.worst == "b"


def test_other_parameters_are_no_match() -> None:
    with pytest.raises(ValueError, match="different parameters: b"):
        distance(0.0, {"a": TRUE["a"]}, 0.0, TRUE, 1.0)


@pytest.mark.parametrize("quantity", ["loss", "gradient", "tensor"])
@pytest.mark.parametrize("group", [FLOAT64, BETWEEN, FLOAT32])
def test_each_bound_breaches(group: str, quantity: str) -> None:
    assert beyond(group, NOTHING, NOTHING) == []
    for value in (1e-3, float("nan")):
        off = Distance(**{**vars(NOTHING), quantity: value})
        ((found, _, _),) = beyond(group, off, NOTHING)
        assert found == quantity
        assert off.largest > 1e-4


def test_float32_may_be_as_far_off_as_the_unsharded_model_is() -> None:
    floor = Distance(0.0, 1e-4, 0.0, "a")
    assert beyond(FLOAT32, Distance(0.0, 9e-4, 0.0, "a"), floor) == []
    assert beyond(FLOAT32, Distance(0.0, 2e-3, 0.0, "a"), floor) != []
    assert beyond(FLOAT64, Distance(0.0, 2e-6, 0.0, "a"), floor) != []


def test_a_breach_names_cut_quantity_value_and_bound() -> None:
    breach = Breach("displaced policy", "shuffled", 2, FLOAT64, "gradient", 5.5e-4, 1e-6)
    assert str(breach) == (
        "displaced policy, shuffled on 2 rank(s), float64: the gradient differs by 5.5e-04, "
        "allowed is 1.0e-06"
    )
