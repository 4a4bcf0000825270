"""Reviews of the published history: read, written as pages, kept, and made by the clock."""
