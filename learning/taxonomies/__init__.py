"""Taxonomies that ship: tasks in words, and the classifiers that were fitted to them."""
