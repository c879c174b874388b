"""Equality of mathematical expressions by math-verify, in processes that can be killed.

math-verify limits its time by a signal that only a main thread can take, and some expressions cost
hours. Here a comparison runs in a worker process that ends itself when its time is spent, and a
fresh one takes its place; the caller may be any thread of any process.
"""

from care_verl.verifier.symbolic.budget import one_verdict
from care_verl.verifier.symbolic.guard import too_costly
from care_verl.verifier.symbolic.pool import Pool, compare, default_pool
from care_verl.verifier.symbolic.request import Comparison, Form

__all__ = ["Comparison", "Form", "Pool", "compare", "default_pool", "one_verdict", "too_costly"]
