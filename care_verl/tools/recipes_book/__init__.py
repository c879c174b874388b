"""The recipes as a book: what there is, and what one composes to.

The recipes themselves are YAML, in the package `care_verl.recipes`.
"""
