"""The list of threats as tests, each by its number."""
