"""The nouns of the service."""
