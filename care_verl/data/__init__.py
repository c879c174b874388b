"""Training data: corpora, and the task that is built in."""
