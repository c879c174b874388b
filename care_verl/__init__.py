"""CARE for verl: learning from contrasting failures."""
