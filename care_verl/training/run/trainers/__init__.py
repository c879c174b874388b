"""The trainers that those of methods descend from.

verl's trainers come first: with them the plugin imports those of all methods, which need the
modules of this package whole.
"""

import verl.trainer.ppo.v1  # noqa: F401
