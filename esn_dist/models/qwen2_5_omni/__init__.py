"""Qwen2.5-Omni's Thinker: audio and text in, text out; without speech output and vision."""
