"""What the answers say: effects, intervals, margins, failures. Works from xarray datasets alone, on a laptop.

Suffixes of array names give their shape. In this package each letter has one meaning:

    C  cells        U  utterances        E  emotions, the options of an answer
"""
