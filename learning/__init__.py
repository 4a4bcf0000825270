"""Decides and learns: no network, no web, no database, no wall clock, no global randomness."""
