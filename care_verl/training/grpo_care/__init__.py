"""GRPO-CARE on verl: its trainer, its workers and the reference that follows the policy.

The mathematics is in `care_verl.algorithm.consistency`.
"""
