"""Checkpoints that are whole or absent, on top of verl's own."""
