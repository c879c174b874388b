"""The interval of a share."""

from __future__ import annotations

import math

_Z_95 = 1.959963984540054


def wilson(hits: int, trials: int, z: float = _Z_95) -> tuple[float, float]:
    """Wilson's score interval of a binomial share, hits of trials, 95 % by default.

    Raises ValueError unless 0 <= hits <= trials and trials > 0.
    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
    Journal of the American Statistical Association 22 (1927).
    """
    if trials <= 0 or not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials}: expected 0 <= hits <= trials and trials > 0")
    share, spread = hits / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
