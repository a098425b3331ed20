"""Large states: the same commands among a thousand and among a million devices, the ACL and the CRL of all.

States are grown by ``grow``, which says what it does, and kept in the folder of ``--states``.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from measure import PROJECT, Case, Line, Spent, State, named, pair, process

_BARE = Path(__file__).with_name("bare.py")
_GROW = Path(__file__).with_name("grow.py")
_HOW = "rows inserted straight into a real state's database"


def grown(state: State, states: Path, devices: int, revoked: int, *more: str) -> State:
    """A state of that size, made once for each version of the schema; ``more`` for ``grow``."""
    pages = sorted((PROJECT / "iotonboard" / "store" / "schema").glob("*.py"))
    schema = hashlib.sha256(b"".join(page.read_bytes() for page in pages)).hexdigest()[:8]
    folder = states / f"{'-'.join((str(devices), str(revoked), schema))}{''.join(more)}"
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        copy = state.copy(unfinished)
        # A process of its own: the memory that this one has used would be counted for those that it starts.
        copy.call("register", copy.fresh())
        process(sys.executable, _GROW, copy.path, copy.key_file, str(devices), str(revoked), *more)
        copy.call("gen-crl")
        unfinished.rename(folder)
    return State(folder)


def large(state: State, states: Path, folder: Path, devices: int) -> list[Case]:
    """Commands about one or some devices, then the database and the ACL of all."""
    size = f"{named(devices)} devices"

    def big() -> State:
        return grown(state, states, devices, 100)

    def beside_a_thousand(name: str, what: str, required: str, run: Callable[[State], Spent]) -> Case:
        return pair(name, f"{what}, {size}", "the same at 1 000", required, lambda: run(big()),
                    lambda: run(grown(state, states, 1000, 100)), note=_HOW)  # fmt: skip

    def looking(name: str, *words: str) -> Case:
        return beside_a_thousand(
            name, f"`{' '.join(words).removesuffix(' first')}`", "<= 1.30", lambda where: where.call(*words)
        )

    def revoke(where: State) -> Spent:
        name = where.fresh()
        where.call("register", name, "--no-bundle")
        return where.call("revoke", name)

    def database(_runs: int) -> Line:
        gigabytes = big().database.stat().st_size / 1e9
        return Line(f"database, {size}", "-", "<= 2.0 GB", f"{gigabytes:.2f} GB", note=_HOW)

    return [
        looking("large-list", "list", "--limit", "50"),
        looking("large-show", "show", "first"),
        looking("large-list", "list", "--expiring-within", "1", "--limit", "50"),
        looking("large-list", "list", "--status", "revoked", "--limit", "50"),
        beside_a_thousand(
            "large-register", "`register`", "<= 1.15", lambda where: where.call("register", where.fresh())
        ),
        beside_a_thousand("large-revoke", "`revoke` with CRL, 100 revoked", "<= 1.15", revoke),
        Case("large-database", database),
        *(_acl(big, folder, size, style) for style in ("pattern", "per-device")),
    ]


def _acl(big: Callable[[], State], folder: Path, size: str, style: str) -> Case:
    def written() -> Spent:
        out = folder / f"{style}.acl"
        out.unlink(missing_ok=True)
        return big().call("sync-acl", "--style", style, "--out", out)

    def bare() -> Spent:
        return process(sys.executable, _BARE, "acl", big().database, folder / "bare.acl")

    return pair("large-acl", f"`sync-acl --style {style}`, {size}", "read the ids, write the per-device lines",
                "<= 2.00 and 150 MB", written, bare, note=_HOW, most_runs=5)  # fmt: skip


_CA = """[ca]
default_ca = here
[here]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 30
certificate = ca.crt
private_key = ca.key
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid
"""


def crl(state: State, states: Path, folder: Path, revoked: int) -> Case:
    """``gen-crl`` beside ``openssl ca -gencrl`` over an index of the same certificates."""
    place = folder / f"openssl-{revoked}"

    def big() -> State:
        return grown(state, states, revoked + 1, revoked)

    def openssl() -> Spent:
        if not place.exists():
            _prepare_openssl(place, big().database)
        return process("openssl", "ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem", cwd=place)

    return pair("crl", f"`gen-crl`, {named(revoked)} revoked", "`openssl ca -gencrl`",
                "<= 1.00" + (" and 350 MB" if revoked >= 1_000_000 else ""),
                lambda: big().call("gen-crl"), openssl, note=_HOW, most_runs=5)  # fmt: skip


def _prepare_openssl(place: Path, database: Path) -> None:
    place.mkdir()
    rows = sqlite3.connect(database).execute(
        "SELECT d.device_id, c.serial FROM revocation r JOIN certificate c ON c.id = r.certificate"
        " JOIN device d ON d.id = c.device"
    )
    with (place / "index.txt").open("w") as index:
        for name, serial in rows:
            index.write(f"R\t331124120000Z\t261124120000Z,superseded\t{serial.hex().upper()}\tunknown\t/CN={name}\n")
    (place / "crlnumber").write_text("01\n")
    (place / "ca.cnf").write_text(_CA)
    process("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "ca.key", "-out", "ca.crt", "-subj", "/CN=bench", cwd=place)  # fmt: skip
