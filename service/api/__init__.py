"""Translates between the wire and the runtime; decides nothing."""
