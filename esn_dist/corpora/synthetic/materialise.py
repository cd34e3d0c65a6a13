"""Writes a synthetic corpus to disk: wav files and, last, the manifest that marks the folder as complete.

Knows nothing of how speech is made. The bytes depend neither on the number of workers nor on kills and restarts.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from esn_dist.corpora.loader import ProgressCallback
from esn_dist.corpora.synthetic import rules
from esn_dist.corpora.synthetic.acoustics import CONDITIONS
from esn_dist.corpora.synthetic.block import BLOCK, SpeechBlock, replace, wav
from esn_dist.corpora.synthetic.speech import draw_speech, synthesiser_version
from esn_dist.errors import UserError, did_you_mean
from esn_dist.seeds import digest

SYNTHETIC_SPLITS = tuple(rules.VOICES)
MANIFEST_FILE = "manifest.csv"


def materialise(
    folder: Path,
    condition: str,
    per_emotion: Mapping[str, int],
    seed: int,
    workers: int,
    progress: ProgressCallback | None = None,
) -> Path:
    """Make the corpus of one acoustic condition under `folder`, unless it exists; returns its folder.

    Args:
        folder: parent of all synthetic corpora; the corpus gets a subfolder named by its fingerprint.
        condition: "studio", "room" or "phone".
        per_emotion: split -> utterances of each emotion; splits are "train", "identification" (the voices of train,
            other utterances), "development" and "evaluation" (other voices).
        seed: seeds every draw; an utterance's bytes depend only on it and on the utterance's id.
        workers: processes to synthesise with.
        progress: called with (utterances done, utterances in all); if it raises, the synthesis stops, and the next
            call resumes it.

    Raises:
        UserError: unknown condition or split, or no synthesiser installed.
    """
    _check("acoustic condition", [condition], CONDITIONS)
    _check("split", per_emotion, SYNTHETIC_SPLITS)
    corpus = folder / f"{condition}-{fingerprint(condition, per_emotion, seed)[:16]}"
    if (corpus / MANIFEST_FILE).is_file():
        return corpus
    (corpus / "wav").mkdir(parents=True, exist_ok=True)
    blocks = list(_blocks(condition, per_emotion))
    total, done = sum(len(block.utterances()) for block in blocks), 0
    threads = ThreadPoolExecutor(workers)
    try:
        for synthesised in threads.map(lambda block: _synthesise(corpus, block, seed), blocks):
            done += synthesised
            if progress:
                progress(done, total)
    finally:
        threads.shutdown(cancel_futures=True)  # an exception does not wait for blocks that have not begun
    replace(corpus / MANIFEST_FILE, _manifest(blocks, seed).encode())
    return corpus


def fingerprint(condition: str, per_emotion: Mapping[str, int], seed: int) -> str:
    """Hash of everything that determines the corpus's bytes."""
    sizes = {split: count for split, count in per_emotion.items() if count}
    return digest("synthetic corpus", rules.RECIPE, synthesiser_version(), condition, sizes, seed)


def _blocks(condition: str, per_emotion: Mapping[str, int]) -> Iterable[SpeechBlock]:
    for split in SYNTHETIC_SPLITS:
        count = per_emotion.get(split, 0)
        for first in range(0, count, BLOCK):
            yield SpeechBlock(condition, split, first, min(first + BLOCK, count))


def _synthesise(corpus: Path, block: SpeechBlock, seed: int) -> int:
    """Synthesise `block` in a new process, unless all its files exist; returns its number of utterances."""
    utterances = block.utterances()
    if not all(wav(corpus, utterance).is_file() for utterance in utterances):
        command = [sys.executable, "-m", "esn_dist.corpora.synthetic", *block.arguments(corpus, seed)]
        # A new session, so that Ctrl-C reaches only the caller; a block takes a second or two.
        process = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
        if process.returncode:
            raise RuntimeError(f"synthesis of {block} exited with {process.returncode}:\n{process.stderr}")
    return len(utterances)


def _manifest(blocks: Iterable[SpeechBlock], seed: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "path", "emotion", "speaker", "split"])
    for utterance in (utterance for block in blocks for utterance in block.utterances()):
        speaker = draw_speech(utterance, seed).speaker
        writer.writerow([utterance.id, f"wav/{utterance.id}.wav", utterance.emotion, speaker, utterance.split])
    return text.getvalue()


def _check(what: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    for name in names:
        if name not in allowed:
            raise UserError(
                f"unknown {what} {name!r} of the synthetic corpus.{did_you_mean(name, allowed)}",
                expected=", ".join(allowed),
            )
