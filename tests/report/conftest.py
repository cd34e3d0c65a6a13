"""The results of the small store and their document, computed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from esn_dist.analysis.measured_effects import EffectSettings
from esn_dist.report.document import Document
from esn_dist.report.results import ReportSettings, Results
from esn_dist.report.sections.builders import build_document
from esn_dist.store.folder import StoreFolder


@pytest.fixture(scope="session")
def results(small_store: Path) -> Results:
    return Results(StoreFolder(small_store), ReportSettings(EffectSettings(draws=200), stability=3))


@pytest.fixture(scope="session")
def document(results: Results) -> Document:
    return build_document(results)
