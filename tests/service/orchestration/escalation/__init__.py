"""The tests of escalation."""
