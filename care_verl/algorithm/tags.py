"""Settings that name the tags of a response."""

from __future__ import annotations

from care_verl.algorithm.settings import Settings
from care_verl.grammar import TagSpec


class TagSettings(Settings):
    """Settings with a `think_tag`, an `answer_tag` and `prefilled`, which their class declares.

    prefilled: whether the chat template opens the rationale in the prompt; None detects it.


    No dataclass itself: each method's fields say where their defaults come from.

    Raises ValueError at construction where the two are the same.
    """

    think_tag: str
    answer_tag: str
    prefilled: bool | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.think_tag == self.answer_tag:
            raise ValueError(
                f"{self.KEY}.answer_tag = {self.answer_tag!r} equals think_tag; "
                "expected two different names"
            )

    @property
    def tag_spec(self) -> TagSpec:
        """The tags as `token_spans` and `RationaleAutomaton` take them."""
        return TagSpec(think=self.think_tag, answer=self.answer_tag)
