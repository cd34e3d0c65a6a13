"""One adapter per audio-language model behind one small protocol, named in a registry."""
