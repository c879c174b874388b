"""The record of a run: every row of every recorded step, written by a run, read by its tools.

Needs neither verl nor torch. `schema` says what is in the files, `files` where they are.
"""
