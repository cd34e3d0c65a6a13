"""A synthetic corpus on disk: wav files and, written last, the manifest that makes the folder complete.

Knows nothing of how speech is made. Bytes depend on neither the number of workers nor on how often the call was killed.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from esn_dist.corpora.synthetic import rules
from esn_dist.corpora.synthetic.acoustics import CONDITIONS
from esn_dist.corpora.synthetic.block import BLOCK, Block, replace, wav
from esn_dist.corpora.synthetic.speech import draw, synthesiser_version
from esn_dist.errors import UserError, did_you_mean
from esn_dist.seeds import digest

SPLITS = tuple(rules.VOICES)
MANIFEST = "manifest.csv"
Progress = Callable[[int, int], None]


def materialise(
    folder: Path,
    condition: str,
    per_emotion: Mapping[str, int],
    seed: int,
    workers: int,
    progress: Progress | None = None,
) -> Path:
    """Make the corpus of one acoustic condition under `folder`, or find it there; returns the corpus's own folder.

    Args:
        folder: where corpora of this sort lie side by side; the corpus gets a folder named by its fingerprint.
        condition: "studio", "room" or "phone".
        per_emotion: split -> utterances of each emotion; splits are "train", "identification" (the voices of train,
            other utterances), "development" and "evaluation" (voices of their own).
        seed: draws everything; an utterance's bytes depend on it and on the utterance's id alone.
        workers: processes to synthesise with.
        progress: called with (utterances done, utterances in all); an exception of its own ends the making, and the
            next call goes on from there.

    Raises:
        UserError: unknown condition or split, or no synthesiser installed.
    """
    _check("acoustic condition", [condition], CONDITIONS)
    _check("split", per_emotion, SPLITS)
    corpus = folder / f"{condition}-{fingerprint(condition, per_emotion, seed)[:16]}"
    if (corpus / MANIFEST).is_file():
        return corpus
    (corpus / "wav").mkdir(parents=True, exist_ok=True)
    blocks = list(_blocks(condition, per_emotion))
    total, done = sum(len(block.utterances()) for block in blocks), 0
    threads = ThreadPoolExecutor(workers)
    try:
        for spoken in threads.map(lambda block: _speak(corpus, block, seed), blocks):
            done += spoken
            if progress:
                progress(done, total)
    finally:
        threads.shutdown(cancel_futures=True)  # what stops us, `progress` perhaps, waits for no block not yet begun
    replace(corpus / MANIFEST, _manifest(blocks, seed).encode())
    return corpus


def fingerprint(condition: str, per_emotion: Mapping[str, int], seed: int) -> str:
    """The hash of everything that determines the corpus's bytes."""
    sizes = {split: count for split, count in per_emotion.items() if count}
    return digest("synthetic corpus", rules.RECIPE, synthesiser_version(), condition, sizes, seed)


def _blocks(condition: str, per_emotion: Mapping[str, int]) -> Iterable[Block]:
    for split in SPLITS:
        count = per_emotion.get(split, 0)
        for first in range(0, count, BLOCK):
            yield Block(condition, split, first, min(first + BLOCK, count))


def _speak(corpus: Path, block: Block, seed: int) -> int:
    """Have a fresh process speak `block`, unless all of it is there; returns its number of utterances."""
    utterances = block.utterances()
    if not all(wav(corpus, utterance).is_file() for utterance in utterances):
        command = [sys.executable, "-m", "esn_dist.corpora.synthetic", *block.arguments(corpus, seed)]
        # A session of its own: Ctrl-C reaches whoever called us, who decides; a block takes a second or two.
        outcome = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
        if outcome.returncode:
            raise RuntimeError(f"speaking {block} ended with {outcome.returncode}:\n{outcome.stderr}")
    return len(utterances)


def _manifest(blocks: Iterable[Block], seed: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "path", "emotion", "speaker", "split"])
    for utterance in (utterance for block in blocks for utterance in block.utterances()):
        speaker = draw(utterance, seed).speaker
        writer.writerow([utterance.id, f"wav/{utterance.id}.wav", utterance.emotion, speaker, utterance.split])
    return text.getvalue()


def _check(what: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    for name in names:
        if name not in allowed:
            raise UserError(
                f"unknown {what} {name!r} of the synthetic corpus.{did_you_mean(name, allowed)}",
                expected=", ".join(allowed),
            )
