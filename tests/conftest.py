"""Settings for all tests."""

from hypothesis import settings

# In a process that runs thousands of tests the garbage collector alone takes longer than
# hypothesis' default limit for one example.
settings.register_profile("care", deadline=None)
settings.load_profile("care")
