"""The fast engine for decoders of Qwen2's form: rows packed without padding, weights fused, nothing computed twice.

`layers` is the decoder as functions, `attention` and `cache` are its attention over a key-value cache, `batch` is the
packed rows, and `engine` answers them. The reference is `inference/answer.py`, which runs any decoder; both give the
same answers (`tests/inference/test_packed.py`). Shape letters: see `esn_dist.inference`.
"""
