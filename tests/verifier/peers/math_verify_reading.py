"""What math-verify says about a prediction, without its time limits.

Its limits rest on SIGALRM; the cases here are harmless, and a benchmark must not pay for signals.
"""

from collections.abc import Sequence

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

CONFIGURATIONS = {
    "latex": LatexExtractionConfig(boxed_match_priority=0),
    "expr": ExprExtractionConfig(),
}
"""By the names that its own tests use."""


def math_verify_says(gold: str, prediction: str, match_types: Sequence[str] | None = None) -> bool:
    """Whether math-verify takes `prediction` for `gold`; match_types None is its default."""
    targets = [CONFIGURATIONS[name] for name in match_types] if match_types else None
    options = {"extraction_config": targets} if targets else {}
    parsed = [parse(text, parsing_timeout=None, **options) for text in (gold, prediction)]
    return bool(verify(*parsed, timeout_seconds=None))
