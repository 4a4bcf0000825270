"""Benchmarks of deployments: prompts, trials, the journal, and what came of them."""
