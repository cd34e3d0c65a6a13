"""The gated MLPs of a decoder: found by structure, counted, and scaled (folded into the weights or at the gate).

Suffixes of tensor names give their shape. In this package each letter has one meaning:

    B  utterances, the rows of a batch        N  gates (neurons) of a layer
    S  positions of a padded row              M  2·N, u and up side by side
    T  positions of a call, row after row     C  gates of a layer that any mask holds (columns)
    P  parts of a sequence                    E  masks, one of each emotion
    L  layers                                 X  experts of a layer
    D  model width                            I  gates of one expert
    F  B·P + 1: a count row of each utterance and part, and a last one for positions of no part
    K  experts that a token is sent to        R  tokens that are sent to one expert
"""
