"""A model whose tokens can be counted, and local copies of the corpora in the hub's layout."""

from pathlib import Path

import pytest

from care_verl import platform
from care_verl.data.corpora.limits import Limits

platform.install()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model's processor, with pixel limits that let images differ in tokens."""
    from care_verl.data.embedded.model import build_processor

    folder = tmp_path_factory.mktemp("model")
    processor = build_processor()
    processor.image_processor.size = {"shortest_edge": 56 * 56, "longest_edge": 448 * 448}
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def limits() -> Limits:
    return Limits(min_pixels=28 * 28, max_pixels=1_000_000, max_prompt_tokens=512)
