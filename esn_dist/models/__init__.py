"""One adapter per family of audio-language models behind one protocol, found by name or by architecture.

Shape letters of this package; a suffix such as `mel_MF` names the axes in order:

    B  rows of a batch            L  positions of a prompt       D  width of the decoder
    S  samples of a clip, 16 kHz  M  mel bins                    F  mel frames, 100 a second
    R  audio tokens of a clip     W  windows of 30 s of a clip   C  chunks of an encoder batch
    P  encoder positions of one chunk or window, before pooling  E  width of the encoder
    H  attention heads            K  size of a head              V  vocabulary
    N  utterances of a corpus     A  emotions of the prompts     O  orders of the options
    T  tokens of an answer, the stop token included
"""
