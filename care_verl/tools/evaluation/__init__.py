"""Evaluation as the paper does it: its benchmarks through LMMs-Eval, scored by the verifier."""
