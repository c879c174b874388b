"""What can be known to be wrong before a run starts, and what a log says when it has ended.

Each module examines one concern and returns findings (`finding`); `examination` puts them in order.
"""
