"""Reviews of a history: what moved, what is wasted, what to try next, with money and intervals."""
