"""Tests that every type of corpus must pass: inherit the class, name the entry, and write a small corpus.

    from esn_dist.testing.corpora import CorpusLoaderConformance

    class TestMine(CorpusLoaderConformance):
        entry = MINE

        @pytest.fixture
        def settings(self, folder: Path) -> dict[str, Any]:
            write_a_small_corpus(folder)
            return {"type": "mine", "path": folder, "emotions": ["anger", "joy"]}

No model is loaded. A test of a property that the type does not have is skipped: a generated corpus has no path.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from esn_dist.corpora.index_counts import count_labels
from esn_dist.corpora.loader import CorpusLoader, LoadOptions, count_by_split
from esn_dist.corpora.probe import probe
from esn_dist.corpora.utterance import Clip, Exclusion, LoadedCorpus, Reason
from esn_dist.errors import UserError
from esn_dist.sweep.candidate_counts import SUM_OF
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.corpus_types import CORPUS_TYPES, corpus_identity


class CorpusLoaderConformance:
    """The promises of a corpus loader.

    Attributes:
        entry: the type under test, as it is registered.
    """

    entry: CorpusLoader[Any]

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """An empty folder; its name has a space and a letter that is not ASCII."""
        folder = tmp_path / "corpus ä"
        folder.mkdir()
        return folder

    @pytest.fixture
    def settings(self, folder: Path) -> dict[str, Any]:
        """To override: write a small corpus below `folder` and return its settings, as in the YAML, without a name.

        It needs at least one valid clip of each studied emotion.
        """
        raise NotImplementedError("override the fixture `settings`")

    @pytest.fixture
    def spec(self, settings: dict[str, Any]) -> CorpusSpec:
        spec: CorpusSpec = self.entry.spec.model_validate({"name": "c", **settings})
        return spec

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        return tmp_path / "cache"

    def load(self, spec: CorpusSpec, cache: Path) -> LoadedCorpus:
        loaded: LoadedCorpus = self.entry.load(spec, LoadOptions(cache))
        return loaded

    def test_the_entry_is_registered_under_the_type_of_its_settings(self, spec: CorpusSpec) -> None:
        assert CORPUS_TYPES[spec.type] is self.entry

    def test_only_paths_stay_out_of_the_identity_that_the_store_keeps(self, spec: CorpusSpec) -> None:
        """So a corpus may move between two runs, and no other setting may change unnoticed."""
        kept, fields = corpus_identity(spec), type(spec).model_fields
        left_out = {name for name in fields if name not in kept} - {"name", "emotions"}
        assert left_out == {name for name in fields if isinstance(getattr(spec, name), Path)}
        assert not any(str(path) in json.dumps(kept) for path in spec.paths)

    def test_ids_are_unique_and_the_same_each_time(self, spec: CorpusSpec, cache: Path) -> None:
        corpus = self.load(spec, cache)
        ids = [utterance.id for utterance in corpus.utterances] + [item.id for item in corpus.exclusions]
        assert len(set(ids)) == len(ids)
        assert self.load(spec, cache) == corpus

    def test_every_label_is_studied_or_excluded_with_its_reason(self, spec: CorpusSpec, cache: Path) -> None:
        corpus = self.load(spec, cache)
        assert {utterance.emotion for utterance in corpus.utterances} == set(spec.emotions)
        assert not {item.emotion for item in corpus.exclusions} & set(spec.emotions)
        assert {item.reason for item in corpus.exclusions} <= {Reason.LABEL_EXCLUDED}

    def test_each_studied_emotion_has_a_clip_that_decodes(self, spec: CorpusSpec, cache: Path) -> None:
        results = [probe(utterance, spec.limits) for utterance in self.load(spec, cache).utterances]
        clips = [result for result in results if isinstance(result, Clip)]
        assert {clip.utterance.emotion for clip in clips} == set(spec.emotions)

    def test_nothing_is_written_into_the_corpus(self, folder: Path, spec: CorpusSpec, cache: Path) -> None:
        before = tree(folder)
        self.load(spec, cache)
        count_labels(spec)
        assert tree(folder) == before

    def test_the_order_of_the_file_system_changes_nothing(
        self, spec: CorpusSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        corpus = self.load(spec, cache)
        scandir, listdir = os.scandir, os.listdir
        monkeypatch.setattr(os, "listdir", lambda *path: sorted(listdir(*path), reverse=True))
        monkeypatch.setattr(os, "scandir", lambda *path: reversed_entries(scandir(*path)))
        assert self.load(spec, cache) == corpus

    def test_a_corpus_in_another_place_is_the_same_but_for_its_root(
        self, folder: Path, settings: dict[str, Any], spec: CorpusSpec, tmp_path: Path
    ) -> None:
        """Two machines with the corpus in different folders write the same store."""
        if not spec.paths:
            pytest.skip("the type has no path")
        elsewhere = Path(shutil.copytree(folder, tmp_path / "another" / "place", symlinks=True))
        moved = {
            name: elsewhere / value.relative_to(folder) if isinstance(value, Path) else value
            for name, value in settings.items()
        }
        other = self.entry.spec.model_validate({"name": "c", **moved})
        assert relative(self.load(spec, tmp_path / "cache")) == relative(self.load(other, tmp_path / "cache 2"))

    def test_a_plan_counts_what_a_run_loads_or_says_why_not(self, spec: CorpusSpec, cache: Path) -> None:
        counted = count_labels(spec)
        if counted.counts is None:
            assert counted.source
            return
        studied = {key: count for key, count in counted.counts.items() if key[1] in spec.emotions}
        assert studied == count_by_split(self.load(spec, cache))

    def test_published_counts_have_the_loader_s_splits_and_labels(self, spec: CorpusSpec, cache: Path) -> None:
        if self.entry.published is None:
            pytest.skip("no published counts")
        corpus = self.load(spec, cache)
        published = self.entry.published.splits
        labels = {item.emotion for item in corpus.utterances} | {item.emotion for item in corpus.exclusions}
        assert {split for key in published for split in key.split(SUM_OF)} == {u.split for u in corpus.utterances}
        assert {label for by_label in published.values() for label in by_label} <= labels

    def test_a_missing_corpus_is_an_error_of_the_user_that_names_the_place(
        self, settings: dict[str, Any], spec: CorpusSpec, cache: Path, tmp_path: Path
    ) -> None:
        if not spec.paths:
            pytest.skip("the type has no path")
        missing = {name: tmp_path / "gone" if isinstance(value, Path) else value for name, value in settings.items()}
        gone = self.entry.spec.model_validate({"name": "c", **missing})
        with pytest.raises(UserError) as error:
            self.load(gone, cache)
        assert str(tmp_path / "gone") in str(error.value)
        assert count_labels(gone).source == f"nothing at {tmp_path / 'gone'}"

    def test_an_emotion_without_utterances_is_an_error_of_the_user_that_names_it(
        self, settings: dict[str, Any], spec: CorpusSpec, cache: Path
    ) -> None:
        wrong = self.entry.spec.model_validate({"name": "c", **settings, "emotions": [*spec.emotions[:-1], "no-such"]})
        with pytest.raises(UserError, match="'no-such'"):
            self.load(wrong, cache)

    def test_an_unreadable_clip_is_listed_and_excluded_with_its_reason(self, spec: CorpusSpec, cache: Path) -> None:
        corpus = self.load(spec, cache)
        utterance = next(item for item in corpus.utterances if isinstance(probe(item, spec.limits), Clip))
        utterance.path.write_bytes(b"not audio at all")
        result = probe(utterance, spec.limits)
        assert isinstance(result, Exclusion) and result.reason is Reason.UNREADABLE
        assert self.load(spec, cache) == corpus


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of everything below `folder`."""
    stats = {str(path): path.lstat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def relative(corpus: LoadedCorpus) -> list[tuple[str, str, str, str, str]]:
    """The utterances with their paths relative to the root."""
    return [(u.id, u.speaker, u.emotion, u.split, str(u.path.relative_to(corpus.root))) for u in corpus.utterances]


@contextmanager
def reversed_entries(
    entries: AbstractContextManager[Iterator[os.DirEntry[str]]],
) -> Iterator[Iterator[os.DirEntry[str]]]:
    """What `os.scandir` returns, with the entries in reverse order of their names."""
    with entries as opened:
        yield iter(sorted(opened, key=lambda entry: entry.name, reverse=True))
