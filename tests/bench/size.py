"""Large states: the same commands among a thousand and among a million devices, the ACL and the CRL of all.

States are grown by ``grow``, which says what it does, and kept in the folder of ``--states``.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
from pathlib import Path

from measure import PROJECT, Line, Spent, State, named, pair, process

_BARE = Path(__file__).with_name("bare.py")
_GROW = Path(__file__).with_name("grow.py")
_HOW = "rows inserted straight into a real state's database"


def grown(state: State, states: Path, devices: int, revoked: int) -> State:
    """A state of that size, made once for each version of the schema."""
    schema = hashlib.sha256((PROJECT / "iotonboard" / "schema.py").read_bytes()).hexdigest()[:8]
    folder = states / f"{devices}-{revoked}-{schema}"
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        copy = state.copy(unfinished)
        # A process of its own: the memory that this one has used would be counted for those that it starts.
        process(sys.executable, _GROW, copy.database, str(devices), str(revoked))
        copy.call("gen-crl")
        unfinished.rename(folder)
    return State(folder)


def large(state: State, states: Path, folder: Path, devices: int, runs: int) -> list[Line]:
    """Commands about one or some devices, then the database and the ACL of all."""
    big, small = grown(state, states, devices, 100), grown(state, states, 1000, 100)
    size = f"{named(devices)} devices"

    def compare(what: str, required: str, *args: str) -> Line:
        return pair(f"{what}, {size}", "the same at 1 000", required, lambda: big.call(*args),
                    lambda: small.call(*args), runs, _HOW)  # fmt: skip

    def revoked(where: State) -> Spent:
        name = where.fresh()
        where.call("register", name, "--no-bundle")
        return where.call("revoke", name)

    return [
        compare("`list --limit 50`", "<= 1.30", "list", "--limit", "50"),
        compare("`show`", "<= 1.30", "show", "first"),
        compare("`list --expiring-within 1 --limit 50`", "<= 1.30", "list", "--expiring-within", "1", "--limit", "50"),
        compare("`list --status revoked --limit 50`", "<= 1.30", "list", "--status", "revoked", "--limit", "50"),
        pair(f"`register`, {size}", "the same at 1 000", "<= 1.15", lambda: big.call("register", big.fresh()),
             lambda: small.call("register", small.fresh()), runs, _HOW),
        pair(f"`revoke` with CRL, 100 revoked, {size}", "the same at 1 000", "<= 1.15", lambda: revoked(big),
             lambda: revoked(small), runs, _HOW),
        Line(f"database, {size}", "-", "<= 2.0 GB", f"{big.database.stat().st_size / 1e9:.2f} GB", note=_HOW),
        *_acl(big, folder, size, min(runs, 5)),
    ]  # fmt: skip


def _acl(big: State, folder: Path, size: str, runs: int) -> list[Line]:
    def written(style: str) -> Spent:
        out = folder / f"{style}.acl"
        out.unlink(missing_ok=True)
        return big.call("sync-acl", "--style", style, "--out", out)

    def bare() -> Spent:
        return process(sys.executable, _BARE, "acl", big.database, folder / "bare.acl")

    return [
        pair(f"`sync-acl --style {style}`, {size}", "read the ids, write the per-device lines",
             "<= 2.00 and 150 MB", lambda style=style: written(style), bare, runs, _HOW)
        for style in ("pattern", "per-device")
    ]  # fmt: skip


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


def crls(state: State, states: Path, folder: Path, revoked: int, runs: int) -> list[Line]:
    """``gen-crl`` beside ``openssl ca -gencrl`` over an index of the same certificates."""
    what = f"`gen-crl`, {named(revoked)} revoked"
    place = folder / f"openssl-{revoked}"
    place.mkdir()
    big = grown(state, states, revoked + 1, revoked)
    rows = sqlite3.connect(big.database).execute(
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
    return [
        pair(what, "`openssl ca -gencrl`", "<= 1.00" + (" and 350 MB" if revoked >= 1_000_000 else ""),
             lambda: big.call("gen-crl"),
             lambda: process("openssl", "ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem", cwd=place),
             runs, _HOW)
    ]  # fmt: skip
