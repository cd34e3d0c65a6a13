"""The process that synthesises one block: `python -m esn_dist.corpora.synthetic FOLDER SEED CONDITION SPLIT FIRST END`.

Started by `materialise`, once per block; knows nothing of other blocks.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import soundfile

from esn_dist.corpora.synthetic.acoustics import RATE
from esn_dist.corpora.synthetic.block import Block, replace, wav
from esn_dist.corpora.synthetic.speech import speak


def main(corpus: Path, seed: int, block: Block) -> None:
    """Write the utterances of `block` into the corpus folder, one after the other."""
    for utterance in block.utterances():
        buffer = io.BytesIO()
        soundfile.write(buffer, speak(utterance, seed), RATE, subtype="PCM_16", format="WAV")
        replace(wav(corpus, utterance), buffer.getvalue())


if __name__ == "__main__":
    folder, seed, condition, split, first, end = sys.argv[1:]
    main(Path(folder), int(seed), Block(condition, split, int(first), int(end)))
