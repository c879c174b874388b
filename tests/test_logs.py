"""The package's log lines survive what other libraries do to the root logger, as verl's do."""

from __future__ import annotations

import subprocess
import sys

TURNED_DOWN = """
import logging
from verl.utils.logging_utils import configure_verl_logging
from care_verl.common.logs import logger_of

configure_verl_logging()
logging.getLogger().setLevel(logging.ERROR)
logging.getLogger("care_verl.example").info("under the root")
logger_of("care_verl.example").info("under verl")
"""


def test_a_line_is_shown_where_verls_are() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TURNED_DOWN], capture_output=True, text=True, check=True
    )
    assert "under verl" in done.stderr
    assert "under the root" not in done.stderr
