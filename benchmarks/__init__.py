"""Measurements of the running service; nothing here is needed to serve or to test."""
