"""Which rows of a source are prepared."""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def drawn(indices: Sequence[int], limit: int | None, seed: int) -> Sequence[int]:
    """`limit` of the indices, drawn at random by `seed`, ascending; all when there is no limit."""
    if limit is None or limit >= len(indices):
        return indices
    return sorted(random.Random(f"limit/{seed}").sample(indices, limit))


def sizes(files: Iterable[Path]) -> Mapping[str, int]:
    """Bytes of each file, by name."""
    return {path.name: path.stat().st_size for path in files}
