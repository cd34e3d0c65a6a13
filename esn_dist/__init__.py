"""Find and test emotion-sensitive neurons in audio-language models, on one machine or a cluster."""
