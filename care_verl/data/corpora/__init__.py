"""The corpora of the paper: from the hub, or local copies of it, to rows that verl reads."""
