"""How far an update is from the reference, and how far it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

SMALLEST_SCALE = 1e-6
"""A tensor is measured against its own gradient's norm, but against no less than this share of the
norm over all: where a true gradient is zero there is rounding only, and nothing to divide by."""


@dataclass(frozen=True)
class Distance:
    """Relative differences of one update from another.

    loss: against the sum of the rows' absolute shares, since shares of both signs cancel.
    gradient: L2 norm of the difference over all parameters, against that of the gradient.
    tensor: the largest such ratio of one parameter, `worst`.
    """

    loss: float
    gradient: float
    tensor: float
    worst: str

    @property
    def largest(self) -> float:
        """Of the three; NaN counts as infinite."""
        return max(_nan_first(value) for value in (self.loss, self.gradient, self.tensor))


def distance(
    loss: float,
    gradients: Mapping[str, Tensor],
    true_loss: float,
    true_gradients: Mapping[str, Tensor],
    mass: float,
) -> Distance:
    """Raises ValueError where the two do not have the same parameters."""
    if set(gradients) != set(true_gradients):
        apart = sorted(set(gradients) ^ set(true_gradients))
        raise ValueError(f"gradients of different parameters: {', '.join(apart[:5])}")
    norms = {name: float(value.double().norm()) for name, value in true_gradients.items()}
    errors = {
        name: float((gradients[name].double() - value.double()).norm())
        for name, value in true_gradients.items()
    }
    whole = sum(norm**2 for norm in norms.values()) ** 0.5
    ratios = {name: errors[name] / max(norms[name], SMALLEST_SCALE * whole) for name in norms}
    worst = max(ratios, key=lambda name: _nan_first(ratios[name]))
    return Distance(
        loss=abs(loss - true_loss) / mass,
        gradient=sum(error**2 for error in errors.values()) ** 0.5 / whole,
        tensor=ratios[worst],
        worst=worst,
    )


def _nan_first(value: float) -> float:
    return value if value == value else float("inf")


QUANTITIES = ("loss", "gradient", "tensor")
FLOAT64, BETWEEN, FLOAT32 = "float64", "between cuts", "float32"
GROUPS = (FLOAT64, BETWEEN, FLOAT32)
"""What a cut is measured against: the reference, in float64; the first cut, in float64; the
reference again, by an update computed in float32."""


@dataclass(frozen=True)
class Bound:
    """The largest allowed difference, and why it is that one.

    floors: a larger difference is allowed up to so many times that of the unsharded model.
    """

    value: float
    reason: str
    floors: float = 0.0

    def allowed(self, floor: float) -> float:
        """The bound where the unsharded model's own difference is `floor`."""
        return max(self.value, self.floors * floor)


_STORED = "token advantages and log-probabilities travel as float32, 6e-8 of their size"
_ORDER = "only the order of float64 sums differs"
_ROUNDED = (
    "float32 rounds the model's log-probabilities by some 1e-6, and the ratios with them; the same "
    "model, unsharded and row by row, is as far from the reference"
)
BOUNDS: dict[tuple[str, str], Bound] = {
    (FLOAT64, "loss"): Bound(1e-6, _STORED),
    (FLOAT64, "gradient"): Bound(1e-6, _STORED),
    (FLOAT64, "tensor"): Bound(1e-6, _STORED),
    (BETWEEN, "loss"): Bound(1e-12, _ORDER),
    (BETWEEN, "gradient"): Bound(1e-12, _ORDER),
    (BETWEEN, "tensor"): Bound(1e-10, _ORDER + ", and a small tensor's terms cancel"),
    (FLOAT32, "loss"): Bound(5e-6, _ROUNDED, floors=10),
    (FLOAT32, "gradient"): Bound(1e-5, _ROUNDED, floors=10),
    (FLOAT32, "tensor"): Bound(1e-4, _ROUNDED + "; a small tensor's terms cancel", floors=10),
}


def allowed(group: str, quantity: str, floor: Distance) -> float:
    """The bound of one quantity, where float32 alone makes the distance `floor`."""
    return BOUNDS[group, quantity].allowed(getattr(floor, quantity))


@dataclass(frozen=True)
class Breach:
    """A difference beyond its bound."""

    point: str
    cut: str
    ranks: int
    compared: str
    quantity: str
    value: float
    bound: float

    def __str__(self) -> str:
        return (
            f"{self.point}, {self.cut} on {self.ranks} rank(s), {self.compared}: the "
            f"{self.quantity} differs by {self.value:.1e}, allowed is {self.bound:.1e}"
        )


def beyond(group: str, measured: Distance, floor: Distance) -> list[tuple[str, float, float]]:
    """Quantity, value and bound of what is not within its bound; NaN never is."""
    found = [(q, getattr(measured, q), allowed(group, q, floor)) for q in QUANTITIES]
    return [(quantity, value, bound) for quantity, value, bound in found if not value <= bound]
