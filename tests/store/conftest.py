"""A small real store: one model of 6 layers x 16 neurons, one corpus of three emotions."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from esn_dist.seeds import digest
from esn_dist.store import create
from esn_dist.store.folder import StoreFolder
from esn_dist.store.tables import CellTable, ExclusionTable, MaskTable, UtteranceTable, in_whole_shards

EMOTIONS = ("anger", "joy", "sadness")


def utterances(names: list[str], labels: list[str]) -> UtteranceTable:
    count = len(names)
    return UtteranceTable(
        id=tuple(names),
        speaker=tuple(f"Zoë{position % 3}" for position in range(count)),
        label=tuple(labels),
        option_number=tuple((2, 3, 1) for _ in names),
        split=("test",) * count,
        path=tuple(f"audio/{name}.wav" for name in names),
        samples=tuple(16000 + position for position in range(count)),
        sha256=tuple(digest(name) for name in names),
    )


def evaluation_set() -> UtteranceTable:
    return utterances([f"e{position}" for position in range(6)], [EMOTIONS[position % 3] for position in range(6)])


def identification_set() -> UtteranceTable:
    """40 of anger (two shards), 32 of joy (one), 1 of sadness (one)."""
    labels = ["anger"] * 40 + ["joy"] * 32 + ["sadness"]
    return in_whole_shards(utterances([f"i{position}" for position in range(73)], labels), EMOTIONS)


def exclusions() -> ExclusionTable:
    return ExclusionTable(("x1", "x2"), ("joy", ""), ("unreadable", "silent"), ("no RIFF header: «»", ""))


def add_corpus(folder: StoreFolder, evaluation: UtteranceTable | None = None) -> None:
    sets = (evaluation or evaluation_set(), identification_set(), exclusions())
    create.add_corpus(folder, "synthetic", EMOTIONS, *sets, {"licence": "none"})


def cells(*names: str, alpha: float = -1.0, selector: str = "LAP") -> CellTable:
    """Cells of which the one called "baseline" is the baseline."""
    rows = [
        (name, "baseline", "", "", "", float("nan"), -1, "", 0.0, float("nan"))
        if name == "baseline"
        else (name, "deactivate", selector, "synthetic", "joy", 0.1, -1, "m1", alpha, 0.5)
        for name in names
    ]
    return CellTable.from_rows(rows)


def masks(*names: str, budget: int = 9, selector: str = "MAD") -> MaskTable:
    return MaskTable.from_rows(
        [(name, selector, "synthetic", "joy", 0.1, -1, 0, "audio+text", budget) for name in names]
    )


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    made = StoreFolder(tmp_path / "sweep")
    create.create_root(made, {"sweep": "test", "seed": 7})
    add_corpus(made)
    create.add_model(made, "tiny", 6, 16, {"weights": "abc"})
    create.add_counts(made, "tiny", "synthetic")
    return made


@pytest.fixture
def block_of_answers() -> Callable[[int, int], dict[str, object]]:
    """Values for `cells` cells x 6 utterances, which `seed` decides."""

    def make(cells: int, seed: int) -> dict[str, object]:
        draw = np.random.default_rng(seed)
        return {
            "answer": draw.integers(0, 3, (cells, 6)).astype(np.int8),
            "outcome": np.ones((cells, 6), np.uint8),
            "logprob": draw.normal(size=(cells, 6, 3)).astype(np.float32),
            "text": [[f"{seed}: ({row}, {column}) 😀" for column in range(6)] for row in range(cells)],
        }

    return make


@pytest.fixture
def shard_of_counts() -> Callable[[int, int], dict[str, object]]:
    """Values for `rows` utterances, which `seed` decides."""

    def make(rows: int, seed: int) -> dict[str, object]:
        draw = np.random.default_rng(seed)
        return {
            "K": draw.integers(0, 400, (rows, 3, 6, 16)),
            "T": np.tile([150, 60, 0], (rows, 1)),
            "answer": draw.integers(0, 3, rows),
            "outcome": np.ones(rows, int),
            "logprob": draw.normal(size=(rows, 3)),
            "text": ["2"] * rows,
        }

    return make


@pytest.fixture
def make_cells() -> Callable[..., CellTable]:
    return cells


@pytest.fixture
def make_masks() -> Callable[..., MaskTable]:
    return masks


@pytest.fixture
def tables() -> dict[str, UtteranceTable | ExclusionTable]:
    return {"evaluation": evaluation_set(), "identification": identification_set(), "exclusions": exclusions()}


KILLING_SERVER = """
import os, pickle, signal, sys

def dying(real, left):
    def call(*args, **kwargs):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return real(*args, **kwargs)
    return call

for line in sys.stdin:
    number, function, args, kwargs = pickle.loads(bytes.fromhex(line))
    child = os.fork()
    if not child:
        left = [number]
        for name in ("replace", "rename", "fsync", "unlink"):
            setattr(os, name, dying(getattr(os, name), left))
        function(*args, **kwargs)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def killed_at() -> Iterator[Callable[..., bool]]:
    """`killed_at(n, function, ...)` runs the function in a real process that gets kill -9 at its n-th system call that
    replaces, renames, removes or syncs a file. False: it finished before."""
    server = subprocess.Popen(
        [sys.executable, "-c", KILLING_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin and server.stdout

    def kill(number: int, function: Callable[..., object], *args: object, **kwargs: object) -> bool:
        assert server.stdin and server.stdout
        server.stdin.write(pickle.dumps((number, function, args, kwargs)).hex() + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        assert code in (0, -signal.SIGKILL)
        return code != 0

    yield kill
    server.stdin.close()
    assert server.wait() == 0
    server.stdout.close()


def contents(path: Path) -> dict[str, bytes]:
    """Every file below `path`, by its relative name."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    return contents
