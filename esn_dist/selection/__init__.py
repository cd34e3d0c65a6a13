"""Counts in, neurons out: identification sets, firing statistics, selectors' scores, and masks of a fixed budget.

Suffixes of array names give their shape. In this package each letter has one meaning:

    E  emotions      N  neurons of a layer, those of all its experts side by side
    L  layers        U  utterances of a shard
    X  experts of a layer; one where all neurons of a layer share T
"""
