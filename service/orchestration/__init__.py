"""More than one call for one answer: mirrored calls and a blind judge."""
