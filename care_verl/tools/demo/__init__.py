"""The main job on the embedded default: cold start, CARE through verl, before/after table."""
