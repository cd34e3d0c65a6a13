"""Utterances and a state of the gates in, answers (and counts) out; knows nothing of Ray, Zarr or emotions."""
