"""Traces for whoever wants them: a request and its calls as spans, sent to a collector."""
