"""What is written down of a step: its record, its samples in the trackers, its capture."""
