"""How every model of an evaluation decodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Decoding:
    """One response a question (Section 8.3), greedy by default; equal for all models.

    The paper reuses the temperature and top-p of its training and prints neither.

    temperature: 0 is greedy. top_p: in (0, 1]. max_new_tokens: of a response, rationale included.
    seed: of sampling; without effect where it is greedy.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 16_384
    seed: int = 0

    def __post_init__(self) -> None:
        for key, holds, allowed in (
            ("temperature", self.temperature >= 0, "a number >= 0"),
            ("top_p", 0 < self.top_p <= 1, "a number in (0, 1]"),
            ("max_new_tokens", self.max_new_tokens >= 1, "an integer >= 1"),
        ):
            if not holds:
                raise ValueError(
                    f"{key} = {getattr(self, key)!r} is not allowed; expected {allowed}"
                )

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    def to_mapping(self) -> dict[str, Any]:
        """As it stands in the results; the seed only where it matters."""
        found = asdict(self)
        if self.greedy:
            del found["seed"]
        return found

    def arguments(self) -> str:
        """For LMMs-Eval's `--gen_kwargs`."""
        return ",".join(f"{key}={value}" for key, value in self.to_mapping().items())
