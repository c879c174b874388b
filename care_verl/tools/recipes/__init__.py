"""What recipes there are, and what one composes to.

The recipes themselves are YAML, in the package `care_verl.recipes`.
"""
