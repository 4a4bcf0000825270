"""The formulas, each with its paper."""
