"""Measure the program beside its peers and bare loops, and print the table as Markdown.

    python tests/bench/run.py [--quick] [--runs N]

Both sides of a line run in turn (A B A B ...) on the same machine in the same minutes; the figure is the median,
the ratio the median of the pairs. Whole processes are timed, from start to exit. States of many devices are made
by ``grow``, which says what it does.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from grow import grow

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "iotonboard"]
LIGHT = "import typer, sqlite3"
HEAVY = "import typer, cryptography.x509, sqlite3, pyzipper"


class Line(NamedTuple):
    what: str
    peer: str
    required: str
    ours_ms: float
    theirs_ms: float | None
    ratio: float | None
    note: str = ""

    def __str__(self) -> str:
        theirs = f"{self.theirs_ms:.1f} ms" if self.theirs_ms is not None else "-"
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else "-"
        cells = (self.what, self.peer, theirs, f"{self.ours_ms:.1f} ms", ratio, self.required, self.note)
        return f"| {' | '.join(cells)} |"


Timed = Callable[[], float]


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(PROJECT), **more}


def process(*argv: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> float:
    """Milliseconds of one whole process."""
    begin = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in argv], env=environment(**(env or {})), cwd=cwd, capture_output=True, check=False
    )
    spent = (time.perf_counter() - begin) * 1000
    if done.returncode:
        sys.exit(f"exit {done.returncode}: {argv}\n{done.stderr.decode()}")
    return spent


def pair(what: str, peer: str, required: str, ours: Timed, theirs: Timed, runs: int, note: str = "") -> Line:
    ours(), theirs()  # not counted: fills caches
    pairs = [(ours(), theirs()) for _ in range(runs)]
    a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Line(what, peer, required, a, b, statistics.median(x / y for x, y in pairs), note)


class State:
    """A real state directory with a key file."""

    def __init__(self, folder: Path) -> None:
        self.path, self.key_file, self.folder = folder / "state", folder / "key", folder
        if not folder.exists():
            folder.mkdir()
            self.call("init-ca", "--generate-key-file", self.key_file, unlocked=False)
            self.call("config", "set", "acl.style", "pattern", unlocked=False)

    def call(self, verb: str, *args: str | Path, unlocked: bool = True, **more: str) -> float:
        env = {"IOTONBOARD_STATE": str(self.path), **more}
        if unlocked:
            env["IOTONBOARD_PASSPHRASE_FILE"] = str(self.key_file)
        return process(*PROGRAM, verb, *args, env=env, cwd=self.folder)  # not where the package lies

    def fresh(self) -> str:
        return f"bench-{uuid.uuid4().hex[:12]}"

    def copy(self, folder: Path) -> State:
        shutil.copytree(self.folder, folder)
        return State(folder)


def startup(state: State, runs: int) -> list[Line]:
    def bare(code: str) -> Timed:
        return lambda: process(sys.executable, "-c", code)

    def deferred() -> float:
        name = state.fresh()
        state.call("register", name, "--no-bundle")
        return state.call("revoke", name, "--defer", unlocked=False)

    light = [
        ("`--version`", lambda: process(*PROGRAM, "--version")),
        ("`--help`", lambda: process(*PROGRAM, "--help")),
        ("`show`", lambda: state.call("show", "first", unlocked=False)),
        ("`sync-acl`", lambda: state.call("sync-acl", unlocked=False)),
        ("`revoke --defer`", deferred),
    ]
    lines = [pair(what, f"`{LIGHT}`", "<= 1.25", ours, bare(LIGHT), runs) for what, ours in light]
    one = pair(
        "`register`, one EC device with bundle", f"`{HEAVY}`", "<= 1.30",
        lambda: state.call("register", state.fresh()), bare(HEAVY), runs,
    )  # fmt: skip
    return [*lines, one]


def without_bytecode(state: State, folder: Path, runs: int) -> list[Line]:
    """The package as it lies in a folder that is read-only and was never compiled; all others have their bytecode."""
    shutil.copytree(
        PROJECT / "iotonboard", folder / "bare" / "iotonboard", ignore=shutil.ignore_patterns("__pycache__")
    )
    bare = {"PYTHONPATH": str(folder / "bare"), "PYTHONDONTWRITEBYTECODE": "1"}
    calls: list[tuple[str, Callable[..., float]]] = [
        ("`show`", lambda **env: state.call("show", "first", unlocked=False, **env)),
        ("`register`, one EC device with bundle", lambda **env: state.call("register", state.fresh(), **env)),
    ]
    return [
        pair(f"{what}, package without bytecode", "the same, compiled", "-", lambda call=call: call(**bare), call, runs)
        for what, call in calls
    ]


def against_easy_rsa(state: State, folder: Path, runs: int) -> list[Line]:
    program = shutil.which("easyrsa") or "/usr/share/easy-rsa/easyrsa"
    if not Path(program).exists():
        return []
    env = {"EASYRSA_BATCH": "1", "EASYRSA_PKI": str(folder / "pki"), "EASYRSA_ALGO": "ec",
           "EASYRSA_CURVE": "prime256v1"}  # fmt: skip
    process(program, "init-pki", env=env, cwd=folder)
    process(program, "build-ca", "nopass", env={**env, "EASYRSA_REQ_CN": "bench"}, cwd=folder)

    def client() -> float:
        return process(program, "build-client-full", state.fresh(), "nopass", env=env, cwd=folder)

    ours = lambda: state.call("register", state.fresh())  # noqa: E731
    return [
        pair("`register`, one EC device with bundle", "easy-rsa `build-client-full`", "<= 0.75", ours, client, runs)
    ]


def stream(state: State, count: int) -> list[Line]:
    env = environment(IOTONBOARD_STATE=str(state.path), IOTONBOARD_PASSPHRASE_FILE=str(state.key_file))
    with subprocess.Popen(
        [*PROGRAM, "register", "--stream", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as child:
        assert child.stdin
        assert child.stdout
        spent = []
        for _ in range(count):
            begin = time.perf_counter()
            child.stdin.write(state.fresh().encode() + b"\n")
            child.stdin.flush()
            child.stdout.readline()
            spent.append((time.perf_counter() - begin) * 1000)
        child.stdin.close()
    return [
        Line("`register --stream`, line in to line out", "-", "median <= 12 ms", statistics.median(spent), None, None)
    ]


_BARE_EC = """
import datetime, os, sqlite3, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from concurrent.futures import ProcessPoolExecutor
CA, NAME = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
NOW = datetime.datetime(2030, 1, 1)
def make(count):
    made = []
    for _ in range(count):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), x509.random_serial_number(), NOW,
                                          NOW + datetime.timedelta(365))
        made.append(builder.sign(CA, hashes.SHA256()).public_bytes(Encoding.DER))
    return made
if __name__ == "__main__":
    database = sqlite3.connect(sys.argv[1])
    database.execute("PRAGMA journal_mode = WAL"), database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, der BLOB)")
    with ProcessPoolExecutor() as pool:
        for made in pool.map(make, [1000] * (int(sys.argv[2]) // 1000)):
            with database:
                database.executemany("INSERT INTO c (der) VALUES (?)", ((der,) for der in made))
"""
_BARE_RSA = """
from concurrent.futures import ProcessPoolExecutor
import sys
from cryptography.hazmat.primitives.asymmetric import rsa
def make(_):
    rsa.generate_private_key(65537, 2048)
if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        list(pool.map(make, range(int(sys.argv[1])), chunksize=2))
"""
_BARE_ACL = """
import sqlite3, sys
with open(sys.argv[2], "w") as out:
    for (name,) in sqlite3.connect(sys.argv[1]).execute("SELECT device_id FROM device ORDER BY device_id"):
        out.write(f"user {name}\\ntopic readwrite devices/{name}/#\\n")
"""


def batches(state: State, folder: Path, count: int, runs: int) -> list[Line]:
    ec, rsa = folder / "bare_ec.py", folder / "bare_rsa.py"
    ec.write_text(_BARE_EC)
    rsa.write_text(_BARE_RSA)

    def bare_ec() -> float:
        return process(sys.executable, ec, folder / f"{state.fresh()}.db", str(count))

    return [
        pair(f"`register --count {count} --no-bundle`, EC", "key, signature, commits of 1000, all cores", "<= 2.86",
             lambda: state.call("register", "--count", str(count), "--no-bundle"), bare_ec, runs),
        pair("`register --count 200 --key-type rsa-2048 --no-bundle`", "RSA key generation, all cores", "<= 1.11",
             lambda: state.call("register", "--count", "200", "--key-type", "rsa-2048", "--no-bundle"),
             lambda: process(sys.executable, rsa, "200"), runs),
    ]  # fmt: skip


def large(state: State, folder: Path, devices: int, runs: int) -> list[Line]:
    big = state.copy(folder / f"big-{devices}")
    grow(big.path / "devices.db", devices)
    octets = (big.path / "devices.db").stat().st_size
    how = "rows inserted straight into a real state's database"
    bare = folder / "bare_acl.py"
    bare.write_text(_BARE_ACL)
    size = f"{devices:,} devices".replace(",", " ")
    lines = [
        pair(f"{what}, {size}", "the same at 1 000", required, lambda args=args: big.call(*args),
             lambda args=args: state.call(*args), runs, how)
        for what, args, required in (
            ("`list --limit 50`", ("list", "--limit", "50"), "<= 1.30"),
            ("`show`", ("show", "first"), "<= 1.30"),
            ("`list --expiring-within 1 --limit 50`", ("list", "--expiring-within", "1", "--limit", "50"), "<= 1.30"),
        )
    ]  # fmt: skip
    lines.append(
        pair(f"`register`, {size}", "the same at 1 000", "<= 1.15", lambda: big.call("register", big.fresh()),
             lambda: state.call("register", state.fresh()), runs, how)
    )  # fmt: skip
    for style in ("pattern", "per-device"):
        out = folder / f"{style}.acl"

        def written(style: str = style, out: Path = out) -> float:
            out.unlink(missing_ok=True)
            return big.call("sync-acl", "--style", style, "--out", out)

        lines.append(
            pair(f"`sync-acl --style {style}`, {size}", "read the ids, write the per-device lines", "<= 2.00", written,
                 lambda: process(sys.executable, bare, big.path / "devices.db", folder / "bare.acl"),
                 min(runs, 3), how)
        )  # fmt: skip
    lines.append(Line(f"database, {size}", "-", "<= 2.0 GB", 0, None, None, f"{octets / 1e9:.2f} GB; {how}"))
    return lines


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {openssl}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three runs, small sizes")
    parser.add_argument("--runs", type=int, help="counted runs of each pair")
    options = parser.parse_args()
    runs = options.runs or (3 if options.quick else 11)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = State(folder / "small")
        state.call("register", "--count", "999", "--no-bundle")
        state.call("register", "first")
        print(f"{machine()}; medians of {runs} pairs\n")
        print("| what | peer | peer's | this project | ratio | required | note |\n|---|---|---|---|---|---|---|")
        for group in (
            lambda: startup(state, runs),
            lambda: without_bytecode(state, folder, runs),
            lambda: against_easy_rsa(state, folder, runs),
            lambda: stream(state, 100 if options.quick else 500),
            lambda: large(state, folder, 100_000 if options.quick else 1_000_000, runs),
            lambda: batches(state, folder, 2000 if options.quick else 5000, min(runs, 3)),
        ):
            for line in group():
                print(line, flush=True)


if __name__ == "__main__":
    main()
