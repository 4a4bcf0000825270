"""Tests of what could be saved."""
