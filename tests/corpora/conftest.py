"""The miniature releases: written once a session, and copied for tests that may damage them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.corpora.miniature.iemocap import write_iemocap
from tests.corpora.miniature.meld import write_meld
from tests.corpora.miniature.msp_podcast import write_msp_podcast


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all three, for reading only."""
    root = tmp_path_factory.mktemp("releases")
    write_iemocap(root / "iemocap")
    write_meld(root / "meld")
    write_msp_podcast(root / "msp-podcast")
    return root


@pytest.fixture
def iemocap(releases: Path, tmp_path: Path) -> Path:
    return _copy(releases / "iemocap", tmp_path)


@pytest.fixture
def meld(releases: Path, tmp_path: Path) -> Path:
    return _copy(releases / "meld", tmp_path)


@pytest.fixture
def msp_podcast(releases: Path, tmp_path: Path) -> Path:
    return _copy(releases / "msp-podcast", tmp_path)


def _copy(release: Path, folder: Path) -> Path:
    return Path(shutil.copytree(release, folder / release.name))
