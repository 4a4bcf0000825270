"""Answers kept and given again: what is alike, what may be kept, for whom, and for how long."""
