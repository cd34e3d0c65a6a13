"""Tests to inherit, for entries that other packages add. They need pytest; nothing else of esn_dist does.

Suffixes of tensor names give their shape. In this package each letter has one meaning, but for the attributes of a
prompt, whose letters are those of `esn_dist.models`:

    B  utterances, the rows of a batch        E  masks, one of each emotion
    S  positions of a row                     L  layers
    T  positions of a call, row after row     N  gates (neurons) of a layer
    D  model width                            M  2·N, u and up side by side
    R  audio embeddings of one clip
"""
