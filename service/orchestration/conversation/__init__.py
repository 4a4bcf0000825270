"""Conversations that the service keeps: taken up, compacted, carried to any deployment, erased."""
