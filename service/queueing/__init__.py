"""The queue: requests that no deployment could answer, kept, tried again, answered later."""
