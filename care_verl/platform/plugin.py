"""Entry point `care_cpu` of the group `verl.plugins`: the CPU platform and nothing else.

`VERL_USE_EXTERNAL_PLUGINS=care_cpu` runs verl on a CPU without CARE.
"""

from __future__ import annotations

from care_verl import platform

platform.install()
