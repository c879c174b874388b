"""The embedded task: bar charts to be read and computed with, and a tiny model to learn it."""
