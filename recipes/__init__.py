"""Hydra recipes for verl, shipped as `care_verl.recipes`: `+recipe=NAME`."""
