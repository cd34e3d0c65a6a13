"""Sentence lengths of the pages: one row per page, then every sentence that is too long. It changes no file.

    python docs/prose.py                        README and every page of docs/
    python docs/prose.py CHANGELOG.md store     other pages, or all pages of a folder

Counted is running text. Code blocks, tables, headings, quotations and the label that opens a list item are not.
A word is text between two spaces, also in inline code and formulas. The end of a list item ends a sentence.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 35

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LEFT_OUT = re.compile(r"^(\||#|>|!\[|    )")  # a table, heading, quotation, picture, or code that is indented
ITEM = re.compile(r"^(?:[-*]|\d+\.)\s+")
LABEL = re.compile(r"^(\*\*|\*)[^*]+([.:]\1|\1:)\s*")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
QUOTATION = re.compile(r"[\"“][^\"”]*[\"”]")
# A full stop, question or exclamation mark ends a sentence where the next word begins one.
END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bFig)(?<!\bEq)[.!?][)*”\"]*\s+(?=[\"“(*`]*[A-Z0-9α-ω`])")


def main(arguments: list[str]) -> None:
    """Print the table, then the sentences above `LONGEST` words."""
    pages = [page for name in arguments or ["README.md", "docs"] for page in pages_of(ROOT / name)]
    lengths: list[int] = []
    print(f"{'page':<32}{'words':>7}{'sentences':>11}{'median':>8}{'90 %':>6}{'longest':>9}")
    for page in pages:
        page_lengths = [count_words(sentence) for sentence in sentences(page.read_text(encoding="utf-8"))]
        lengths += page_lengths
        print_row(name_of(page), page_lengths)
    print_row("all", lengths)
    for page in pages:
        for sentence in sentences(page.read_text(encoding="utf-8")):
            if count_words(sentence) > LONGEST:
                print(f"\n{name_of(page)}, {count_words(sentence)} words: {sentence}")


def pages_of(path: Path) -> list[Path]:
    return sorted(path.rglob("*.md")) if path.is_dir() else [path]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name


def print_row(name: str, lengths: list[int]) -> None:
    if not lengths:
        return
    ninetieth = sorted(lengths)[int(0.9 * (len(lengths) - 1))]
    median = statistics.median(lengths)
    print(f"{name:<32}{sum(lengths):>7}{len(lengths):>11}{median:>8.0f}{ninetieth:>6}{max(lengths):>9}")


def sentences(page: str) -> Iterator[str]:
    """Every sentence of a page's running text, in order."""
    for block in blocks(page):
        text = QUOTATION.sub("Quotation", LINK.sub(r"\1", LABEL.sub("", block)))
        yield from (sentence for sentence in END.split(text) if count_words(sentence))


def blocks(page: str) -> Iterator[str]:
    """Paragraphs and list items, each as one line."""
    block: list[str] = []
    for line in [*FENCE.sub("", page).splitlines(), ""]:
        left_out = bool(LEFT_OUT.match(line)) and not block
        if left_out or not line.strip() or ITEM.match(line.lstrip()):
            if block:
                yield " ".join(block)
            block = []
        if line.strip() and not left_out:
            block.append(ITEM.sub("", line.strip()))


def count_words(sentence: str) -> int:
    return len(sentence.split())


if __name__ == "__main__":
    main(sys.argv[1:])
