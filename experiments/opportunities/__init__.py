"""What another way of running would have saved, from what was logged."""
