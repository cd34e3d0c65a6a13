"""A registry holds built-in entries and those of other installed packages, and says clearly what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from esn_dist.errors import UserError
from esn_dist.registry import Registry

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


class Installed:
    """Packages as pip leaves them: a module and a folder of metadata with entry points."""

    def __init__(self, site: Path) -> None:
        self.site = site

    def add(self, package: str, source: str, entry_points: str, version: str = "1.0") -> None:
        (self.site / f"{package}.py").write_text(source, encoding="utf-8")
        metadata = self.site / f"{package}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(METADATA.format(name=package, version=version), encoding="utf-8")
        (metadata / "entry_points.txt").write_text(f"[things]\n{entry_points}\n", encoding="utf-8")
        invalidate_caches()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)
    yield Installed(tmp_path)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def registry() -> Registry[int]:
    return Registry("things", "thing", int, {"one": 1, "two": 2})


def test_built_in_entries_come_first_and_have_no_provider(installed: Installed) -> None:
    installed.add("plug", "three = 3", "aaa = plug:three")
    things = registry()
    assert list(things) == ["one", "two", "aaa"]
    assert len(things) == 3
    assert things["aaa"] == 3
    assert things.provider("one") is None


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all_names(installed: Installed) -> None:
    installed.add("plug", "three = 3", "three = plug:three")
    with pytest.raises(UserError, match=r"unknown thing 'thre'. Did you mean 'three'\?") as error:
        registry().require("thre", where="sweep.yaml")
    assert error.value.expected == "one of one, two, three"
    assert error.value.where == "sweep.yaml"
    with pytest.raises(KeyError):
        registry()["thre"]


def test_a_package_that_cannot_be_imported_is_named_and_hurts_only_its_own_entry(installed: Installed) -> None:
    installed.add("broken", "import no_such_module", "broken = broken:thing")
    things = registry()
    assert things["two"] == 2
    assert "broken" in things
    with pytest.raises(UserError, match="'broken' cannot be loaded: ModuleNotFoundError") as error:
        things["broken"]
    assert error.value.where == "broken 1.0"


def test_a_question_about_all_entries_leaves_out_a_broken_package_and_says_so(
    installed: Installed, caplog: pytest.LogCaptureFixture
) -> None:
    installed.add("broken", "import no_such_module", "broken = broken:thing")
    installed.add("plug", "three = 3", "three = plug:three")
    assert registry().usable() == {"one": 1, "two": 2, "three": 3}
    assert "'broken' cannot be loaded" in caplog.text


def test_an_entry_of_another_type_is_refused(installed: Installed) -> None:
    installed.add("plug", "word = 'word'", "word = plug:word")
    with pytest.raises(UserError, match="the thing 'word' is a str"):
        registry()["word"]


@pytest.mark.parametrize("name", ["one", "three"])
def test_two_packages_with_one_name_are_refused_and_both_named(installed: Installed, name: str) -> None:
    installed.add("plug_a", "three = 3", f"{name} = plug_a:three")
    installed.add("plug_b", "three = 3", f"{name} = plug_b:three")
    with pytest.raises(UserError, match=f"the thing '{name}' is registered twice, by .* and by plug_"):
        list(registry())


def test_the_identity_of_a_provider_changes_with_its_version_and_with_its_source(installed: Installed) -> None:
    installed.add("plug", "three = 3", "three = plug:three")
    provider = registry().provider("three")
    assert provider and (provider.name, provider.version) == ("plug", "1.0")
    assert provider.identity == f"plug==1.0:{provider.digest[:16]}"
    (installed.site / "plug.py").write_text("three = 4", encoding="utf-8")
    changed = registry().provider("three")
    assert changed and changed.identity != provider.identity


def test_a_built_in_entry_may_be_an_import_string_that_is_loaded_when_its_name_is_used(installed: Installed) -> None:
    (installed.site / "above.py").write_text("three = 3", encoding="utf-8")
    invalidate_caches()
    things = Registry("things", "thing", int, {"three": "above:three"})
    assert "above" not in sys.modules
    assert things["three"] == things.require("three") == 3
    assert things.provider("three") is None
