"""Makes the objects and joins them; the only package that knows every class."""
