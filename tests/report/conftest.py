"""The findings of the small store, computed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from esn_dist.report.csv_tables import Row, flat
from esn_dist.report.findings import Findings, Settings, collect
from esn_dist.store.folder import StoreFolder


@pytest.fixture(scope="session")
def rows(findings: Findings) -> dict[str, list[Row]]:
    return flat(findings)


@pytest.fixture(scope="session")
def findings(small_store: Path) -> Findings:
    return collect(StoreFolder(small_store), Settings(draws=200, stability=3))
