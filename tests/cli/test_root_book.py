"""The run-books of a root are typed as they stand, at the root, at a station and at a broker's machine.

``pytest tests/cli/test_root_book.py --rewrite`` writes what was printed into the guide.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from iotonboard.pki import pem

from support.program import PROJECT, program_environment, run_cli, write_key_file
from support.run_book import typed
from support.stations import fingerprint

PAGE = PROJECT / "iotonboard" / "guide" / "root.md"
CHANGING = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\b[0-9A-Fa-f]{16,64}\b|(?:\b[a-z]{1,4} ){11}[a-z]{1,4}\b|(?<=package )\d+"
    r"|\d+(?= days left)|(?<=list )\d+|(?<=password ).*|(?<=head )\S+"
)


def run_book() -> str:
    text = PAGE.read_text(encoding="utf-8")
    begin = text.index("## The first day")
    return text[begin : text.index("## A station's next key", begin)]


@pytest.fixture
def dest() -> Iterator[Path]:
    """A folder that every user may enter, the broker's included."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        dest = Path(folder, "dest")
        dest.mkdir(mode=0o755)
        yield dest


def test_the_run_books_print_what_they_say(tmp_path: Path, dest: Path, request: pytest.FixtureRequest) -> None:
    key = tmp_path / "key-file"
    write_key_file(key)
    folders = {"/media/root": "root", "/media/usb": "usb", "/srv": "srv"}
    for name in folders.values():
        (tmp_path / name).mkdir()

    def places() -> dict[str, str]:
        found = {place: str(tmp_path / name) for place, name in folders.items()}
        found["/etc/mosquitto/iotonboard"] = str(dest)
        root = tmp_path / "root" / "state" / "certs" / "ca.crt"
        if root.exists():
            found["ROOT-SHA-256"] = fingerprint(pem.pem_decode_all("CERTIFICATE", root.read_bytes())[0])
        return found

    environment = {"IOTONBOARD_PASSPHRASE_FILE": str(key)}

    def call(words: list[str]) -> str:
        result = run_cli(*words, env=environment, expect=(0, 9))
        return result.stdout + result.stderr

    book = typed(run_book(), places, lambda: program_environment(env=environment), call=call)
    if request.config.getoption("--rewrite"):
        PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(run_book(), book), encoding="utf-8")
    assert CHANGING.sub("*", book) == CHANGING.sub("*", run_book()), "run this test with --rewrite"
