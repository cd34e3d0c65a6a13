"""The process that synthesises one block: `python -m esn_dist.corpora.synthetic FOLDER SEED CONDITION SPLIT FIRST END`.

Started by `materialise`, once per block; knows nothing of other blocks.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import soundfile

from esn_dist.corpora.audio import SAMPLE_RATE
from esn_dist.corpora.synthetic.block import SpeechBlock, replace, wav
from esn_dist.corpora.synthetic.speech import synthesise


def main(corpus: Path, seed: int, block: SpeechBlock) -> None:
    """Write the utterances of `block` into the corpus folder, one after the other."""
    for utterance in block.utterances():
        buffer = io.BytesIO()
        soundfile.write(buffer, synthesise(utterance, seed), SAMPLE_RATE, subtype="PCM_16", format="WAV")
        replace(wav(corpus, utterance), buffer.getvalue())


if __name__ == "__main__":
    folder, seed, condition, split, first, end = sys.argv[1:]
    main(Path(folder), int(seed), SpeechBlock(condition, split, int(first), int(end)))
