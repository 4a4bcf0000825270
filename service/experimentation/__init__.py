"""Experiments on live traffic: made and moved by people, watched by guardrails, reported."""
