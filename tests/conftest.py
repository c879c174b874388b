"""Settings for all tests, and the model that several of them load."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# What the tests share fails with its values, as the tests do.
pytest.register_assert_rewrite("tests.e2e", "tests.recipes", "tests.rollout.engine")

# In a process that runs thousands of tests the garbage collector alone takes longer than
# hypothesis' default limit for one example.
settings.register_profile("care", deadline=None)
settings.load_profile("care")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded task's model with random weights."""
    # Without transformers most tests start in a tenth of the time.
    from care_verl.data.embedded.model import save_model

    folder = tmp_path_factory.mktemp("model")
    save_model(folder, seed=0)
    return folder
