"""Benchmarks of deployments: what paired trials say, and what they do not."""
