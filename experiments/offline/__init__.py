"""What may know learning: off-policy estimates, replay, baselines."""
