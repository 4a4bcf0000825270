"""How each dialect of provider is spoken to."""
