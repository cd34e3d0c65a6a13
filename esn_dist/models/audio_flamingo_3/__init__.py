"""Audio Flamingo 3 without its thinking adapter."""
