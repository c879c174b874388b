"""Images that stand in the rows of a parquet file, as `datasets` writes them."""

from collections.abc import Mapping
from typing import Any

from care_verl.data.corpora.source import ImageLoader, ImageUnavailableError


def embedded_image(cell: Mapping[str, Any] | None) -> ImageLoader:
    """Gives the bytes of a cell of `datasets`' Image type, {bytes, path}."""

    def load() -> bytes:
        data = cell.get("bytes") if cell else None
        if not data:
            raise ImageUnavailableError("missing image", "the cell holds no bytes")
        return bytes(data)

    return load
