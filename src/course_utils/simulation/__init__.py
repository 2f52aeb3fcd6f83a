"""Worlds in which a recommender acts: feedback loops, policies, bandits, logs."""
