"""The fast engine for decoders of Qwen2's form: rows packed without padding, weights fused, nothing computed twice.

`layers` is the decoder as functions, `attention` and `cache` what positions see of each other, `batch` the rows side
by side, `engine` their answers. The plain reference is `inference/answer.py`, which runs any decoder; both give the
same answers (`tests/inference/test_packed.py`).
"""
