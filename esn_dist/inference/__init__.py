"""Prompts and a transform of the gates in, answers and counts out; knows nothing of Ray, Zarr or emotions.

Suffixes of tensor names give their shape. In this package each letter has one meaning:

    B  utterances, the rows of a batch        V  vocabulary
    L  positions of a padded row              O  tokens whose log-probabilities are asked for (options)
    T  positions of a call, row after row     N  gates of a layer; M = 2·N, u and up side by side
    F  B·L, padded positions flattened        R  audio embeddings of one clip
    S  key-value slots of a row               P  parts of a sequence
    D  model width                            Y  decoder layers
    H  query heads                            E  experts of a layer; I gates of one of them
    K  key-value heads                        C  experts that a token is sent to
    W  width of a head                        A  H·W, the heads of a token side by side
    Q  (H + 2·K)·W, the fused output of the query, key and value projections
"""
