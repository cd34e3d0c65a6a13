"""Any gated audio-language model that transformers has a class for, through its own processor."""
