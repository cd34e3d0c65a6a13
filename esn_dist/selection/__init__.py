"""Counts in, neurons out: identification sets, firing statistics, selectors' scores, and masks of a fixed budget."""
