"""Entry point of the group `verl.plugins`, loaded by `import verl` in every process.

verl swallows an exception raised here (it logs it at DEBUG), so a failure is printed before it is
passed on; a CARE run then stops where it first asks for the plugin.
"""

from __future__ import annotations

import sys
import traceback

from care_verl import platform
from care_verl.platform import vllm_buffers
from care_verl.training import hooks

try:
    platform.install()
    vllm_buffers.install_where_asked()
    hooks.install()
except Exception:
    print("care-verl: the plugin could not be installed into verl:", file=sys.stderr)
    traceback.print_exc()
    raise
