"""The body of an actor: executes units on one loaded model, and the protocol between it and the runner.

Suffixes of tensor names give their shape. In this package each letter has one meaning:

    n  utterances of a set                    R  audio embeddings of one clip
    B  utterances, the rows of a batch        D  model width
    E  emotions of a corpus                   L  decoder layers
    O  options of a prompt                    N  gates (neurons) of a layer
    K, T (names, not suffixes)  counts of positive activations, and of valid positions
"""
