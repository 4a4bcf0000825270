"""Tests of the taxonomies that ship."""
