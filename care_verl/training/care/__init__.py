"""CARE on verl: its group stage, its trainer, its workers and its loss.

The mathematics is in `care_verl.algorithm`.
"""
