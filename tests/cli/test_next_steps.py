"""What every command says while the plant is down, and what comes next."""

from __future__ import annotations

import os
import re
from pathlib import Path

from support.clock import fake_time
from support.program import State

ROOTS_NEXT = "iotonboard broker issue broker.test --for "  # a broker that root starts cannot read a state of root's


def test_every_command_says_that_a_crl_has_ended(state: State) -> None:
    state.register("press-1")
    later = fake_time("+31d")
    for words in (("list",), ("show", "press-1"), ("audit", "show"), ("config", "set", "crl_next_update_days", "20")):
        said = state.run(*words, env=later).stderr
        assert re.search(r"warning: the CRL ended on \S+: brokers refuse every device; type: iotonboard gen-crl", said)
    assert "the CRL ended" in state.run("show", "press-9", env=later, expect=5).stderr
    assert "ended" not in state.run("list", "--quiet", env=later).stderr
    assert "ended" not in state.run("gen-crl", env=later).stderr, "it has mended it"
    assert state.run("list", env=later).stderr == ""


def test_every_command_says_that_a_revocation_is_not_published(state: State) -> None:
    state.register("press-1", "press-2")
    assert state.run("list").stderr == ""
    state.run("revoke", "press-1", "--defer")
    assert "not every revocation or release is on a CRL; type: iotonboard gen-crl" in state.run("list").stderr
    state.run("gen-crl")
    assert state.run("list").stderr == ""
    state.crl.unlink()
    state.crl.mkdir()
    state.run("revoke", "press-2", expect=8)
    assert "the newest CRL is not published; type: iotonboard sync-acl" in state.run("list").stderr
    state.crl.rmdir()
    state.run("sync-acl")
    assert state.run("list").stderr == ""


def test_a_renewal_says_when_the_old_certificates_end(state: State) -> None:
    state.register("press-1", "press-2")
    said = state.run("renew", "press-1", "press-2").stderr
    assert re.search(r"next: 2 old certificates end on \d{4}-\d\d-\d\d: type iotonboard gen-crl then", said)
    assert "old certificate" not in state.run("renew", "press-1", "--revoke-old", "never").stderr


def test_whatever_makes_something_says_what_comes_next(state: State, tmp_path: Path) -> None:
    listed, results = tmp_path / "list.txt", tmp_path / "results.csv"
    listed.write_text("press-2\npress-3\n")
    for words, step in (
        ("register press-1", "iotonboard deliver press-1, or for its firmware iotonboard export press-1"),
        ("renew press-1", "iotonboard deliver press-1, or for its firmware"),
        (f"register --batch {listed} --results {results}", f"iotonboard deliver --batch {results}, or"),
        (f"register press-4 --format json --out {tmp_path}/out", "iotonboard confirm press-4 --fingerprint HEX"),
        (f"export press-1 --out {tmp_path}/a.zip", "iotonboard confirm press-1 --fingerprint HEX"),
        (f"export --batch {results} --out {tmp_path}/all", "iotonboard confirm --batch FILE"),
        ("deliver press-1", "iotonboard confirm press-1 --fingerprint HEX"),
        (f"labels press-1 --out {tmp_path}/l.svg", "print "),
        ("broker issue broker.test", ROOTS_NEXT if os.geteuid() == 0 else "mosquitto -c "),
        ("config set acl.style pattern", "iotonboard sync-acl"),
        ("gen-crl", "reload the broker"),
        ("revoke press-1 --reason hold", "copy CRL and ACL"),
        ("release press-1", "copy CRL and ACL"),
        ("retire press-4", "copy CRL and ACL"),
        (f"pack --out {tmp_path}/p.pkg", "on the broker's machine, iotonboard apply p.pkg --ca ca.crt"),
        (f"backup {tmp_path}/b.zip", "where it will lie, iotonboard restore b.zip --check"),
        (f"report --out {tmp_path}/r.html", f"open {tmp_path}/r.html in a browser"),
        ("ca rollover begin", "copy CRL and "),
    ):
        said = state.run(*words.split()).stderr
        assert f"iotonboard: next: {step}" in said, (words, said)
