"""Counts in, neurons out: firing statistics, the paper's selectors, and masks of a fixed budget. NumPy only."""
