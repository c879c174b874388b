"""What looks at runs, data and machines: nothing that a run needs is here, and a test keeps it so.

These tools may import everything; no other package imports them. Their libraries come with the
extra `tools`.
"""
