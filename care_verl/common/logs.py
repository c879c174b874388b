"""Log lines that appear wherever verl's do.

Libraries in a run's processes turn the root logger down to errors; verl has handlers and a level of
its own, `VERL_LOGGING_LEVEL`, for everything below its name.
"""

from __future__ import annotations

import logging
import os


def logger_of(module: str) -> logging.Logger:
    """The logger of a module of this package, below verl's."""
    logger = logging.getLogger(f"verl.{module}")
    logger.setLevel(os.getenv("VERL_LOGGING_LEVEL", "INFO"))
    return logger
