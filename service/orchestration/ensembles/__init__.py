"""Ensembles: several outputs for one answer, where they are worth what they cost."""
