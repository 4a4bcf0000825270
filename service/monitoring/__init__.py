"""The watch: what is going on now, and who must be told."""
