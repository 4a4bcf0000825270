"""The way out: from a request to an answer."""
