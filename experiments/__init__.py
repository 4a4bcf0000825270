"""Asks questions of traffic: frames in, reports out."""
