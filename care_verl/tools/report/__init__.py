"""Figures and a summary of runs, from their records and metrics.

Needs neither verl nor torch. `runs` reads, `groups`, `series`, `signature` and `rescue` compute,
`figures` draws, `summary` writes the page.
"""
