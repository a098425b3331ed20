"""What no check of the program can see, as the threat model says, and what from outside sees it all the same."""

from __future__ import annotations

from pathlib import Path

from support.copies import listed
from support.program import State, write_key_file
from support.site import Site
from support.tampering import edit, found, rewritten_trail
from support.thief import Thief


def test_a_whole_state_put_back_is_seen_by_what_was_carried_away_alone(state: State, tmp_path: Path) -> None:
    """Folder, database and all publications of before: nothing in it contradicts anything else in it."""
    state.register("a", "b")
    (tmp_path / "before").mkdir()
    before = state.copy_to(tmp_path / "before")
    state.run("revoke", "b")
    head = state.json("audit", "head")["head"]
    assert found(before) == []
    before.run("health")
    before.run("register", "c")
    assert before.json("show", "b")["status"] == "active"
    assert "are lost" in before.run("audit", "verify", "--head", head, expect=9).stdout
    assert before.json("restore", "--crl", state.crl)["taken_up"] == 1
    assert before.json("show", "b")["status"] == "revoked"
    assert listed(before)[1] == listed(state)[1]


def test_whoever_has_key_and_passphrase_writes_any_history_but_the_one_that_was_carried_away(
    state: State, tmp_path: Path
) -> None:
    """One passphrase is one role: what it sealed says that it was used, and not by whom."""
    state.register("a")
    head = state.json("audit", "head")["head"]
    edit(state, rewritten_trail)
    state.run("audit", "verify", expect=9)
    Thief(state, tmp_path / "thief").seal_trail(state)
    state.run("audit", "verify")
    assert found(state) == []
    state.run("audit", "verify", "--head", head, expect=9)


def test_a_broker_takes_an_older_list_until_it_ends(state: State, tmp_path: Path) -> None:
    """Whoever writes in its folder puts an old one back; the workstation's own place is looked at, no other."""
    state.register("a")
    older = tmp_path / "older.pem"
    older.write_bytes(state.crl.read_bytes())
    state.run("revoke", "a")
    files = ("--ca", state.ca_cert, "--acl", state.acl, "--cert", state.device("a") / "device.crt")
    assert "revoked by CRL" in state.run("verify", "--crl", state.crl, *files, expect=9).stdout
    assert "accepted as 'a'" in state.run("verify", "--crl", older, *files).stdout
    state.crl.write_bytes(older.read_bytes())
    assert "is not the CRL that was signed last" in state.run("health", "--check", "crl", expect=9).stdout


def test_the_record_beside_a_destination_is_the_brokers_machine_s_own(state: State, tmp_path: Path) -> None:
    """Emptying the folder makes no old package new; whoever is root there takes the record away too."""
    state.register("a")
    (tmp_path / "site").mkdir()
    site = Site(state, tmp_path / "site")
    old = site.pack("old")
    state.run("revoke", "a")
    site.apply(site.pack("new"))
    for path in site.dest.iterdir():
        if path.is_file():
            path.unlink()
    assert "older" in site.apply(old, expect=6)
    for path in (*site.dest.rglob("applied.json"), *site.folder.glob("*.applied.json")):
        path.unlink()
    site.apply(old)
    assert site.revoked() == set()


def test_an_old_backup_opens_with_the_passphrase_of_its_day(state: State, tmp_path: Path) -> None:
    backup, new = tmp_path / "backup.zip", tmp_path / "new-key-file"
    state.run("backup", backup)
    state.run("ca", "passwd", "--generate-key-file", new)
    state.run("restore", backup, "--check")
    State(state.path, new).run("restore", backup, "--check", expect=7)


def test_what_is_carried_names_devices_and_holds_no_key(state: State, tmp_path: Path) -> None:
    """A stolen stick: a package is signed and not secret; bundle and backup are closed by their passwords."""
    state.register("press-1")
    carried = [tmp_path / name for name in ("package", "backup.zip", "bundle.zip")]
    state.run("pack", "--out", carried[0])
    state.run("backup", carried[1])
    carried[2].write_bytes((state.device("press-1") / "creds.zip").read_bytes())
    package, *closed = (path.read_bytes() for path in carried)
    assert b"user press-1" in package
    for octets in (package, *closed):
        assert b"PRIVATE KEY-----" not in octets
    for octets in closed:
        assert b"press-1" not in octets
    write_key_file(tmp_path / "other")
    State(state.path, tmp_path / "other").run("restore", carried[1], "--check", expect=7)
