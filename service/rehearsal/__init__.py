"""A simulated day of the real service on a clock that is made."""
