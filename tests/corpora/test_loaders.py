"""Every registered type of corpus passes the tests that other packages inherit, and forgets nothing in its entry."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow
import pyarrow.parquet
import pytest

from esn_dist.corpora.audiofolder import AUDIOFOLDER
from esn_dist.corpora.huggingface import HUGGINGFACE
from esn_dist.corpora.iemocap import IEMOCAP
from esn_dist.corpora.index_counts import count_labels
from esn_dist.corpora.loader import CorpusLoader, load_corpus
from esn_dist.corpora.manifest import MANIFEST
from esn_dist.corpora.meld import MELD
from esn_dist.corpora.msp_podcast import MSP_PODCAST
from esn_dist.corpora.synthetic.loader import SYNTHETIC
from esn_dist.errors import UserError
from esn_dist.sweep.corpus_types import CORPUS_TYPES, corpus_identity, parse_corpus
from esn_dist.sweep.forecast import forecast
from esn_dist.sweep.load import load_sweep
from esn_dist.testing.corpora import CorpusLoaderConformance
from tests.corpora.miniature.msp_podcast import write_old
from tests.corpora.miniature.speech import write_wav

ROOT = Path(__file__).parents[2]
EMOTIONS = ["anger", "joy"]
LABELS = ("anger", "joy", "boredom")


def copied(release: Path, folder: Path) -> Path:
    return Path(shutil.copytree(release, folder / release.name))


class TestIemocap(CorpusLoaderConformance):
    entry = IEMOCAP

    @pytest.fixture
    def settings(self, folder: Path, releases: Path) -> dict[str, Any]:
        return {"type": "iemocap", "path": copied(releases / "iemocap", folder)}


class TestMeld(CorpusLoaderConformance):
    entry = MELD

    @pytest.fixture
    def settings(self, folder: Path, releases: Path) -> dict[str, Any]:
        copied(releases / "meld", folder)
        return {"type": "meld", "path": folder}


class TestMspPodcast(CorpusLoaderConformance):
    entry = MSP_PODCAST

    @pytest.fixture
    def settings(self, folder: Path, releases: Path) -> dict[str, Any]:
        return {"type": "msp-podcast", "path": copied(releases / "msp-podcast", folder)}


class TestMspPodcastAsSpeltBefore110(CorpusLoaderConformance):
    entry = MSP_PODCAST

    @pytest.fixture
    def settings(self, folder: Path, releases: Path) -> dict[str, Any]:
        return {"type": "msp-podcast", "path": write_old(copied(releases / "msp-podcast", folder))}


class TestManifest(CorpusLoaderConformance):
    entry = MANIFEST

    @pytest.fixture
    def settings(self, folder: Path) -> dict[str, Any]:
        table = [["id", "path", "emotion", "speaker", "split"]]
        for number, split in enumerate(("dev", "dev", "dev", "test", "test", "test")):
            table.append([f"u{number}", f"wav/{number}.wav", LABELS[number % 3], f"s{number}", split])
            write_wav(folder / f"wav/{number}.wav", 4_800)
        with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(table)
        return {"type": "manifest", "path": folder / "table.csv", "emotions": EMOTIONS}


class TestAudioFolder(CorpusLoaderConformance):
    entry = AUDIOFOLDER

    @pytest.fixture
    def settings(self, folder: Path) -> dict[str, Any]:
        for number, label in enumerate((*LABELS, *LABELS)):
            write_wav(folder / ("train" if number < 3 else "test") / label / f"{number}.wav", 4_800)
        return {"type": "audiofolder", "path": folder, "emotions": EMOTIONS}


class TestHuggingFace(CorpusLoaderConformance):
    entry = HUGGINGFACE

    @pytest.fixture
    def settings(self, folder: Path, tmp_path: Path) -> dict[str, Any]:
        write_wav(tmp_path / "a.wav", 4_800)
        audio = {"bytes": (tmp_path / "a.wav").read_bytes(), "path": "a.wav"}
        for split in ("train", "test"):
            rows = [{"audio": audio, "emotion": label, "speaker": "s"} for label in LABELS]
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{split}-00000-of-00001.parquet")
        return {"type": "huggingface", "path": folder, "emotions": EMOTIONS}


SPEECH = {
    "type": "synthetic", "condition": "studio", "emotions": EMOTIONS,
    "evaluation": {"per_emotion": 1}, "identification": {"candidates": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def synthesised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the synthetic corpus already."""
    cache = tmp_path_factory.mktemp("speech") / "cache"
    load_corpus(parse_corpus({"name": "c", **SPEECH}), cache)
    return cache


class TestSynthetic(CorpusLoaderConformance):
    entry = SYNTHETIC

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return SPEECH

    @pytest.fixture
    def cache(self, synthesised: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(synthesised, tmp_path / "cache"))


@pytest.mark.parametrize("name", CORPUS_TYPES)
def test_no_entry_forgets_what_another_module_needs(name: str) -> None:
    """One pass over the registry; the message names what is missing."""
    entry = CORPUS_TYPES[name]
    assert isinstance(entry, CorpusLoader), "the entry is not a CorpusLoader"
    assert get_args(entry.spec.model_fields["type"].annotation) == (name,), "`type` is not Literal[the entry's name]"
    assert entry.spec.__doc__, "the settings have no docstring"
    for field, info in entry.spec.model_fields.items():
        assert isinstance(info.json_schema_extra, dict), f"{field} is neither identity() nor runtime()"
    tested = [cls.entry for cls in CorpusLoaderConformance.__subclasses__()]
    assert any(entry is other for other in tested), "no class inherits CorpusLoaderConformance for it"
    page = (ROOT / "docs/corpora.md").read_text(encoding="utf-8")
    assert f"type: {name}" in page, "docs/corpora.md shows no example"


def test_an_unknown_type_is_answered_with_the_nearest_and_with_all_types() -> None:
    with pytest.raises(ValueError, match="unknown corpus type 'medl'") as error:
        parse_corpus({"name": "c", "type": "medl"})
    assert set(getattr(error.value, "allowed", ())) == set(CORPUS_TYPES)
    with pytest.raises(ValueError, match="a corpus needs a `type`: one of synthetic, iemocap"):
        parse_corpus({"name": "c"})


PLUGIN = """
from pathlib import Path
from typing import Literal

from esn_dist.corpora.loader import CorpusLoader
from esn_dist.corpora.manifest import read_manifest
from esn_dist.sweep.base_spec import identity, runtime
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.corpus_types import PublishedCounts


class TapeCorpus(CorpusSpec):
    type: Literal["tape"] = identity()
    table: Path = runtime()


TAPE = CorpusLoader(
    spec=TapeCorpus,
    load=lambda spec, options: read_manifest(spec.table, spec.emotions),
    no_count_reason="a tape is slow",
    published=PublishedCounts("the tape's label", {"": {"anger": 300, "joy": 400}}),
)
"""
SWEEP = """
name: plugin
seed: 1
models: [tiny-qwen2.5-omni]
corpora: [{name: c, type: tape, table: table.csv, emotions: [anger, joy]}]
studies: {only: {interventions: [deactivate]}}
"""


@pytest.fixture
def tape_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that registers the type `tape`, as pip leaves it on disk."""
    (tmp_path / "tape_corpus.py").write_text(PLUGIN, encoding="utf-8")
    metadata = tmp_path / "tape_corpus-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tape-corpus\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[esn_dist.corpora]\ntape = tape_corpus:TAPE\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    CORPUS_TYPES.__dict__.pop("_entry_points", None)  # the entry points of this process are read once
    yield
    CORPUS_TYPES.__dict__.pop("_entry_points", None)
    sys.modules.pop("tape_corpus", None)


@pytest.mark.usefixtures("tape_package")
def test_a_type_of_another_package_is_planned_loaded_and_known_to_the_store_by_its_provider(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    (tmp_path / "table.csv").write_text("id,path,emotion\na,a.wav,anger\nb,b.wav,joy\n", encoding="utf-8")
    sweep = load_sweep(tmp_path / "sweep.yaml")
    (spec,) = sweep.corpora
    assert spec.paths == (tmp_path / "table.csv",), "its own field of a path is relative to the YAML too"
    assert [utterance.id for utterance in load_corpus(spec, tmp_path / "cache").utterances] == ["a", "b"]
    (corpus,) = forecast(sweep, {spec.name: count_labels(spec)}).corpora
    assert (corpus.candidates, corpus.source) == (100 + 200, "published counts of the tape's label: a tape is slow")
    provider = CORPUS_TYPES.provider("tape")
    assert provider and corpus_identity(spec)["provider"] == provider.identity
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("table: ", "tabel: "), encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown key corpora\[0\]\.tabel\. Did you mean 'table'\?"):
        load_sweep(tmp_path / "sweep.yaml")


def test_the_identity_of_a_built_in_type_names_no_provider() -> None:
    assert "provider" not in corpus_identity(parse_corpus({"name": "c", "type": "meld", "path": "x"}))


def test_an_entry_without_counts_must_say_why() -> None:
    with pytest.raises(ValueError, match="either `count_labels` or the reason in `no_count_reason`"):
        CorpusLoader(spec=MANIFEST.spec, load=MANIFEST.load)
