"""Readers: the runtime and the log as what pages show, in frozen views."""
