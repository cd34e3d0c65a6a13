"""The project's words: what docs/words.yaml gives up is in no page, comment, docstring, message or name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).parents[1]
RULES = Path("docs/words.yaml")
FOLDERS = ("benchmarks", "configs", "docs", "esn_dist", "launch", "tests")
SUFFIXES = {".cfg", ".css", ".html", ".jinja", ".js", ".md", ".mjs", ".py", ".sh", ".toml", ".yaml"}
HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
DEFINITIONS = {ast.arg: "arg", ast.FunctionDef: "name", ast.AsyncFunctionDef: "name", ast.ClassDef: "name"}
# In which field a node of a syntax tree has its name.
NAME_FIELDS = {
    **DEFINITIONS, ast.Name: "id", ast.Attribute: "attr", ast.keyword: "arg", ast.alias: "asname", ast.MatchAs: "name"
}  # fmt: skip


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Word(Strict):
    word: str
    use: str
    forms: str = ""

    def pattern(self) -> str:
        """A regular expression of all forms, in which a space also matches an underscore and the end of a line."""
        return (self.forms or self.word).replace(" ?", r"[\s_#]*").replace(" ", r"[\s_#]+")


class Kept(Strict):
    text: str
    because: str
    files: str = Field(default="*", alias="in")


class Words(Strict):
    text: tuple[Word, ...]
    names: dict[str, str]
    definitions: dict[str, str]
    parts: dict[str, str]
    kept: tuple[Kept, ...]


@dataclass(frozen=True)
class Use:
    path: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word!r} → {self.instead}"


@cache
def words() -> Words:
    return Words.model_validate(yaml.safe_load((ROOT / RULES).read_text(encoding="utf-8")))


def files() -> list[Path]:
    """Every file with words that the project ships, relative to its root, without the list itself and this test."""
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    paths = [*ROOT.iterdir(), *inside, ROOT / "store/README.md", ROOT / ".ci/run"]
    relative = [path.relative_to(ROOT) for path in paths if path.suffix in SUFFIXES or path.name == "run"]
    return sorted({path for path in relative if path not in (RULES, Path("tests/test_words.py"))})


def uses_in_text(path: str, text: str) -> Iterator[Use]:
    rules = words()
    for kept in rules.kept:
        if fnmatch(path, kept.files):
            text = re.sub(kept.text, lambda match: re.sub(r"\S", "·", match[0]), text)
    for match in any_word().finditer(text):
        use = next(word.use for word in rules.text if re.fullmatch(word.pattern(), match[0], re.IGNORECASE))
        yield Use(path, text.count("\n", 0, match.start()) + 1, match[0], use)


def uses_in_names(path: str, source: str) -> Iterator[Use]:
    rules = words()
    for node in ast.walk(ast.parse(source)):
        name = getattr(node, NAME_FIELDS.get(type(node), ""), None)
        if name and isinstance(node, ast.expr | ast.stmt | ast.arg | ast.keyword | ast.alias | ast.pattern):
            use = rules.names.get(name) or (is_definition(node) and rules.definitions.get(name)) or use_of_part(name)
            if use:
                yield Use(path, node.lineno, name, use)


def is_definition(node: ast.AST) -> bool:
    """Whether the project chose the name. The attribute `frame.at` is a name of another library."""
    return type(node) in DEFINITIONS or isinstance(getattr(node, "ctx", None), ast.Store)


@cache
def use_of_part(name: str) -> str | None:
    parts = map(str.lower, HUMP.findall(name))
    return next(filter(None, map(words().parts.get, parts)), None)


@cache
def any_word() -> re.Pattern[str]:
    """All words in one expression, so that a file is read once."""
    forms = "|".join(word.pattern() for word in words().text)
    return re.compile(rf"(?<![a-z])(?:{forms})(?![a-z])", re.IGNORECASE)


def test_no_file_uses_a_word_that_the_project_gave_up() -> None:
    uses: list[Use] = []
    for path in files():
        text = (ROOT / path).read_text(encoding="utf-8")
        uses += uses_in_text(str(path), text)
        if path.suffix == ".py":
            uses += uses_in_names(str(path), text)
    assert not uses, "\n".join(["instead of these words:", *map(str, uses)])


@pytest.mark.parametrize(
    "text", ["whoever calls", "it lacks\n# nothing", "def mend_it(): ...", "utterances set\naside", "a set_aside table"]
)
def test_a_word_is_found_over_lines_and_in_names(text: str) -> None:
    assert list(uses_in_text("page.md", text))


@pytest.mark.parametrize(
    "source", ["for at in (0, 1): ...", "class A:\n    own: int", "def f(one): ...", "a.found", "OwnDesk"]
)
def test_a_name_is_found_where_the_project_chose_it(source: str) -> None:
    assert list(uses_in_names("module.py", source))
    assert not list(uses_in_names("module.py", "frame.at[0], all_at_once, OwnMask"))


def test_every_kept_text_still_occurs() -> None:
    everything = {str(path): (ROOT / path).read_text(encoding="utf-8") for path in files()}
    for kept in words().kept:
        used = any(fnmatch(path, kept.files) and re.search(kept.text, text) for path, text in everything.items())
        assert used, f"docs/words.yaml keeps {kept.text!r}, which occurs nowhere"
