"""verl loads the plugin, and with it what the CPU platform mends in other packages."""

import verl  # noqa: F401
