"""What is kept: one DuckDB file, one writer, and the published history."""
