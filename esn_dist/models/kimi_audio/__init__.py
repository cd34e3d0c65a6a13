"""Kimi-Audio-7B-Instruct, audio in and text out, ported to transformers' parts: no remote code, no speech output."""
