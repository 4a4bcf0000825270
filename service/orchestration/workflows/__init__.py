"""Workflows: files that say which calls make one answer, and what carries them out."""
