"""The way back: from outcome and rating to a reward, from rewards to the policy."""
