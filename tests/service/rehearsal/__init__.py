"""Tests of the simulated day."""
