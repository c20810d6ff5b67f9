"""Scores into means, intervals and paired comparisons; predictions into AUCs."""
