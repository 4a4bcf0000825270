"""Batches: files of requests, answered when it is cheap and before it is too late."""
