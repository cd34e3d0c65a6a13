"""`python docs/prose.py` counts running text alone, and ends a sentence where a reader does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = """# A heading is not counted

One two three. Four (see Fig. 2) five 0.5 % six; seven `a b`?
This is "a long quotation. It has two sentences." here.

| a table | is. Not. |
| --- | --- |

- *Label.* An item that goes
  over two lines
- another item

    python code.py  # is left out

```sh
so is this.
```
"""


def test_words_and_sentences_of_a_page_are_counted_without_tables_code_and_headings(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    command = [sys.executable, str(ROOT / "docs" / "prose.py"), str(page)]
    rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(rows) == 3, "a page, all pages, and no sentence above the limit"
    assert rows[1].split()[1:] == ["27", "5", "4", "7", "11"]
