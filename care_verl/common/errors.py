"""The root of everything that care-verl raises of its own."""


class CareVerlError(Exception):
    """Caught, it stands for any of them; each is also of the kind that Python has for it."""
