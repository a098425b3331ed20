"""Bad input: a clear error with a hint, the documented exit code, nothing changed, the next device registers."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.program import Result, State, program_environment, run_cli, snapshot
from support.tools import run_tool

BAD_IDS = {
    "blank": "a b",
    "slash": "a/b",
    "backslash": "a\\b",
    "parent folder": "..",
    "hidden file": ".hidden",
    "hash": "#",
    "plus": "+",
    "plus inside": "a+b",
    "percent": "%u",
    "dollar": "$SYS",
    "newline": "a\nuser admin",
    "trailing newline": "a\n",
    "carriage return": "a\r",
    "tab": "a\tb",
    "trailing blank": "a ",
    "leading blank": " a",
    "empty": "",
    "too long": "a" * 65,
    "umlaut": "ä",
    "cyrillic look-alike": "p\u0430ss",
    "right-to-left mark": "a\u202eb",
    "windows device": "NUL",
    "windows device with an extension": "com1.txt",
    "trailing dot": "a.",
    "quote": 'a"b',
    "comma": "a,b",
    "colon": "user:x",
}


def register(state: State, device_id: str) -> None:
    """Register a device in a fork, which costs no start of the program."""
    (answer,) = state.run("register", device_id, "--json").json_lines
    assert answer["created"] is True


@contextmanager
def unchanged(state: State, *, then_registers: bool = True) -> Iterator[None]:
    """Prove that nothing in the state changes inside the block, and that the next registration works."""
    before = state.snapshot()
    yield
    # A list of which every row was refused leaves the results that say so, and nothing else.
    after = {name: what for name, what in state.snapshot().items() if not name.startswith("results")}
    assert after == before
    if then_registers:
        register(state, "the-next-one")


def check_error(result: Result, *words: str) -> None:
    """An error that a person can act on."""
    assert result.stdout == "", result
    assert "iotonboard: error: " in result.stderr, result
    assert "iotonboard: hint: " in result.stderr, result
    assert "Traceback" not in result.stderr, result
    for word in words:
        assert word in result.stderr, (word, result)


@pytest.mark.parametrize("bad_id", BAD_IDS.values(), ids=BAD_IDS)
def test_a_bad_id_is_refused(state: State, bad_id: str) -> None:
    with unchanged(state):
        check_error(state.run("register", "--", bad_id, expect=6))


def test_an_id_that_looks_like_an_option_is_usage(state: State) -> None:
    with unchanged(state):
        state.run("register", "--press-1", expect=2)
    state.run("register", "--", "-press-1", expect=6)


@pytest.mark.parametrize("bad_id", ["a/../../x", "+", "a\nuser admin"])
@pytest.mark.parametrize("verb", ["show", "revoke", "export"])
def test_a_bad_id_is_not_found_or_refused_by_the_other_verbs(state: State, verb: str, bad_id: str) -> None:
    with unchanged(state):
        words = ("--out", "-") if verb == "export" else ()
        result = state.run(verb, *words, "--", bad_id, expect=None)
        assert result.exit_code in (5, 6), result
        check_error(result)


@pytest.mark.parametrize("option", [("--name", "{}"), ("--set", "line={}")])
@pytest.mark.parametrize("bad", ["\x02", "\x1b]0;x\x07", "\x90", "\u202e", "a\nb"])
def test_a_name_that_would_steer_a_terminal_is_refused(state: State, option: tuple[str, str], bad: str) -> None:
    with unchanged(state, then_registers=False):
        check_error(run_cli("register", "a", option[0], option[1].format(bad), state=state, expect=6), "printable")


def test_a_duplicate_id_is_refused_also_by_case(state: State) -> None:
    state.register("Press-1")
    with unchanged(state):
        check_error(state.run("register", "Press-1", expect=4), "Press-1")
        check_error(state.run("register", "press-1", expect=4), "Press-1")
        check_error(state.run("register", "PRESS-1", "--if-exists", "reissue", expect=4), "Press-1")


def test_a_duplicate_within_one_call_is_refused(state: State) -> None:
    result = state.run("register", "press-1", "PRESS-1", "--json", expect=None)
    assert result.exit_code in (2, 4), result
    found = [answer["device_id"] for answer in state.run("list", "--json").json_lines]
    assert len({name.lower() for name in found}) == len(found) <= 1
    state.register("the-next-one")


def test_a_revoked_id_is_not_free_again(state: State) -> None:
    state.register("press-1")
    state.run("revoke", "press-1")
    with unchanged(state):
        check_error(state.run("register", "press-1", expect=4), "press-1")


@pytest.mark.parametrize("verb", ["show", "revoke", "export"])
def test_an_unknown_device_is_exit_5(state: State, verb: str) -> None:
    with unchanged(state):
        words = ("--out", "-") if verb == "export" else ()
        check_error(state.run(verb, "press-404", *words, expect=5), "press-404")


def test_an_unknown_serial_is_exit_5(state: State) -> None:
    with unchanged(state):
        check_error(state.run("revoke", "--serial", "0123456789ABCDEF", expect=5), "0123456789ABCDEF")
        check_error(state.run("revoke", "--serial", "not hexadecimal", expect=6))


@pytest.mark.parametrize("reissue", [(), ("--if-exists", "reissue")])
def test_one_unknown_device_does_not_stop_the_revocation_of_another(state: State, reissue: tuple[str, ...]) -> None:
    state.register("press-1", *reissue)
    result = state.run("revoke", "press-404", "press-1", expect=5)
    assert "press-404" in result.stderr
    assert state.json("show", "press-1")["status"] == "revoked"
    assert "press-1" not in state.acl.read_text()


# -- lists -------------------------------------------------------------------------------------------------

UNUSABLE_CSV = {
    "empty": b"",
    "no header": b"press-1,4\npress-2,5\n",
    "header without an id": b"name,line\nPress,4\n",
    "column twice": b"device_id,line,line\npress-1,4,5\n",
    "column without a name": b"device_id,,line\npress-1,4,5\n",
    "not UTF-8": "device_id,name\npress-1,Größe\n".encode("latin-1"),
    "NUL octets": b"device_id,name\n\x00\x00\x00\n",
    "a ZIP archive": b"PK\x03\x04\x14\x00\x00\x00\x08\x00\x93",
}


@pytest.mark.parametrize("content", UNUSABLE_CSV.values(), ids=UNUSABLE_CSV)
def test_an_unusable_csv_changes_nothing(state: State, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "devices.csv").write_bytes(content)
    with unchanged(state):
        result = state.run("register", "--batch", tmp_path / "devices.csv", expect=6)
        assert "iotonboard: error: " in result.stderr
        assert "Traceback" not in result.stderr
        assert "devices.csv" in result.stderr or "line " in result.stderr


def test_a_csv_that_is_not_there(state: State, tmp_path: Path) -> None:
    with unchanged(state):
        check_error(state.run("register", "--batch", tmp_path / "no.csv", expect=5), "no.csv")
        check_error(state.run("register", "--batch", tmp_path, expect=None))
        check_error(state.run("revoke", "--batch", tmp_path / "no.csv", expect=5), "no.csv")


BAD_ROWS = {
    "bad id": "a/b,,",
    "unknown key type": "press-9,rsa-512,",
    "days that are no number": "press-9,,soon",
    "days below one": "press-9,,0",
    "longer than the CA lives": "press-9,,36500",
    "too many values": "press-9,,,surplus",
}


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named_by_its_line_and_harms_no_other(state: State, tmp_path: Path, row: str) -> None:
    csv = tmp_path / "devices.csv"
    csv.write_text(f"device_id,key_type,validity_days\npress-1,,\n{row}\npress-2,,\n")
    result = state.run("register", "--batch", csv, expect=6)
    assert "line 3" in result.stderr
    assert sorted(one["device_id"] for one in state.run("list", "--json").json_lines) == [
        "press-1",
        "press-2",
    ]
    assert "press-9" not in state.acl.read_text()
    state.register("the-next-one")


# -- requests ----------------------------------------------------------------------------------------------


def make_request(folder: Path, *options: str, name: str = "request") -> Path:
    request = folder / f"{name}.csr"
    run_tool(
        "openssl",
        "req",
        "-new",
        "-nodes",
        *options,
        "-keyout",
        folder / f"{name}.key",
        "-out",
        request,
        "-subj",
        "/CN=x",
    )
    return request


P256 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


@pytest.fixture
def tampered_request(tmp_path: Path) -> Path:
    """A request whose signature does not fit: somebody asks for a certificate over a key he does not hold."""
    request = make_request(tmp_path, *P256)
    der = tmp_path / "request.der"
    run_tool("openssl", "req", "-in", request, "-outform", "DER", "-out", der)
    content = bytearray(der.read_bytes())
    content[-1] ^= 1
    der.write_bytes(content)
    return der


def write(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


BAD_REQUESTS: dict[str, Callable[[Path], Path]] = {
    "empty": write("empty.csr", b""),
    "no request": write("no.csr", b"hello"),
    "broken PEM": write(
        "broken.csr", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    ),
    "a short RSA key": lambda folder: make_request(folder, "-newkey", "rsa:1024"),
    "a curve that is not ours": lambda folder: make_request(
        folder, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"
    ),
}


@pytest.mark.parametrize("make", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_bad_request_is_refused(state: State, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    request = make(tmp_path)
    with unchanged(state):
        check_error(state.run("register", "press-1", "--csr", request, expect=6))


def test_a_request_without_proof_of_possession_is_refused(state: State, tampered_request: Path) -> None:
    with unchanged(state):
        check_error(state.run("register", "press-1", "--csr", tampered_request, expect=6))


def test_a_request_that_is_not_there(state: State, tmp_path: Path) -> None:
    with unchanged(state):
        check_error(state.run("register", "press-1", "--csr", tmp_path / "no.csr", expect=5), "no.csr")


def test_a_public_key_of_another_device_is_refused(state: State, tmp_path: Path) -> None:
    request = make_request(tmp_path, *P256)
    state.register("press-1", "--csr", str(request))
    with unchanged(state):
        check_error(state.run("register", "press-2", "--csr", request, expect=6), "press-1")
    state.register("press-1", "--csr", str(request), "--if-exists", "reissue")


# -- passphrases and keys ----------------------------------------------------------------------------------

NEEDS_THE_KEY = [
    ("register", "press-2"),
    ("gen-crl",),
    ("broker", "issue", "broker.example"),
    ("export", "press-1", "--out", "-"),
    ("renew", "press-1"),
    ("release", "press-1"),
    ("ca", "rollover", "begin"),
    ("bundle", "password", "press-1"),
    ("pack", "--out", "package"),
]


def make_ready(state: State, words: tuple[str, ...]) -> None:
    """Leave nothing wrong in a call but its key: what is wrong in its words is said first."""
    register(state, "press-1")
    if words[0] == "release":
        state.run("revoke", "press-1", "--reason", "hold")


@pytest.mark.parametrize("words", NEEDS_THE_KEY, ids=" ".join)
def test_a_wrong_passphrase(state: State, tmp_path: Path, words: tuple[str, ...]) -> None:
    make_ready(state, words)
    wrong = tmp_path / "wrong"
    wrong.write_text("0123456789abcdef" * 4)
    with unchanged(state):
        result = state.run(*words, "--passphrase-file", wrong, expect=7)
        check_error(result)
        assert "0123456789abcdef" not in result.stderr


def test_a_passphrase_file_that_is_not_there(state: State, tmp_path: Path) -> None:
    with unchanged(state):
        check_error(state.run("register", "press-1", "--passphrase-file", tmp_path / "no-key", expect=7), "no-key")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\0b\n"])
def test_an_unusable_passphrase_file(state: State, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    with unchanged(state):
        check_error(state.run("register", "press-1", "--passphrase-file", path, expect=7))


@pytest.mark.parametrize("words", NEEDS_THE_KEY, ids=" ".join)
def test_a_missing_ca_key_never_leads_to_a_new_one(state: State, words: tuple[str, ...]) -> None:
    make_ready(state, words)
    key = state.certs / "ca.key"
    moved = key.rename(state.path.parent / "ca.key")
    before = state.snapshot()
    check_error(state.run(*words, expect=7), "ca.key")
    assert state.snapshot() == before
    assert not key.exists()
    moved.rename(key)
    register(state, "the-next-one")


def test_the_key_of_another_ca_is_refused(state: State, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = State(tmp_path / "other" / "state", state.passphrase_file)
    other.run("init-ca")
    own = (state.certs / "ca.key").read_bytes()
    (state.certs / "ca.key").write_bytes((other.certs / "ca.key").read_bytes())
    before = state.snapshot()
    check_error(state.run("register", "press-1", expect=7))
    check_error(state.run("gen-crl", expect=7))
    assert state.snapshot() == before
    (state.certs / "ca.key").write_bytes(own)
    state.register("press-1")


# -- states ------------------------------------------------------------------------------------------------

ALL_VERBS = [
    ("register", "press-1"),
    ("show", "press-1"),
    ("list",),
    ("revoke", "press-1"),
    ("revoke", "press-1", "--defer"),
    ("export", "press-1", "--out", "-"),
    ("gen-crl",),
    ("sync-acl",),
    ("health",),
    ("broker", "issue", "broker.example"),
    ("renew", "press-1"),
    ("renew", "--old-ca"),
    ("release", "press-1"),
    ("retire", "press-1"),
    ("ca", "rollover", "begin"),
    ("ca", "rollover", "--retire"),
    ("ca", "status"),
    ("expiring",),
    ("verify",),
    ("verify", "press-1"),
    ("deliver", "press-1"),
    ("deliveries",),
    ("confirm", "press-1"),
    ("purge", "press-1"),
    ("bundle", "password", "press-1"),
    ("topics", "list", "press-1"),
    ("topics", "add", "press-1", "read:plant/config"),
    ("audit", "verify"),
    ("report", "--json"),
    ("pack", "--out", "package"),
    ("backup", "/nowhere/backup.zip"),
    ("accept-clock",),
]


@pytest.mark.parametrize("words", ALL_VERBS, ids=" ".join)
def test_a_state_that_is_not_there(state: State, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Neither the folder nor a new CA comes into being."""
    elsewhere = State(tmp_path / "typo" / "state", state.passphrase_file)
    check_error(elsewhere.run(*words, expect=3), "init-ca")
    assert not (tmp_path / "typo").exists()
    (tmp_path / "empty").mkdir()
    check_error(State(tmp_path / "empty", state.passphrase_file).run(*words, expect=3))
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("words", ALL_VERBS, ids=" ".join)
def test_a_state_from_a_newer_version(state: State, words: tuple[str, ...]) -> None:
    register(state, "press-1")
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        (known,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA user_version = {known + 1}")
    before = state.snapshot()
    check_error(state.run(*words, expect=3), "newer")
    assert state.snapshot() == before
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        database.execute(f"PRAGMA user_version = {known}")
    register(state, "the-next-one")


@pytest.mark.parametrize("words", ALL_VERBS, ids=" ".join)
@pytest.mark.parametrize(
    "content",
    [b"", b"this is no database" * 300, b"SQLite format 3\0" + b"\xff" * 5000],
    ids=["empty", "text", "torn"],
)
def test_a_damaged_database(state: State, words: tuple[str, ...], content: bytes) -> None:
    database = state.path / "devices.db"
    intact = database.read_bytes()
    database.write_bytes(content)
    before = snapshot_without_database(state)
    check_error(state.run(*words, expect=3))
    assert database.read_bytes() == content
    assert snapshot_without_database(state) == before
    database.write_bytes(intact)
    register(state, "the-next-one")


def snapshot_without_database(state: State) -> dict[str, str]:
    return {
        path.relative_to(state.path).as_posix(): path.read_bytes().hex() if path.is_file() else ""
        for path in state.path.rglob("*")
        if not path.name.startswith("devices.db")
    }


@pytest.mark.parametrize("left", ["ca.crt and ca.key", "ca.key", "ca.crt"])
@pytest.mark.parametrize("database", ["missing", "empty"])
def test_what_is_left_of_a_ca_never_becomes_a_new_one(state: State, left: str, database: str) -> None:
    """An interrupted init-ca leaves a key with its database; a key without one belongs to a CA that was lost."""
    (state.path / "devices.db").unlink()
    if database == "empty":
        (state.path / "devices.db").touch(0o600)
    for name in {"ca.crt", "ca.key"} - set(left.split(" and ")):
        (state.certs / name).unlink()
    before = snapshot(state.path)
    check_error(state.run("init-ca", expect=4), "database is missing")
    assert snapshot(state.path) == before


@pytest.mark.parametrize("version", [0, 1])
def test_a_foreign_database_is_left_alone(state: State, version: int) -> None:
    database = state.path / "devices.db"
    intact = database.read_bytes()
    database.unlink()
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("CREATE TABLE cooking_recipe (name TEXT)")
        other.execute(f"PRAGMA user_version = {version}")
    before = state.snapshot()
    check_error(state.run("register", "press-1", expect=3))
    check_error(state.run("init-ca", expect=3))
    assert state.snapshot() == before
    database.write_bytes(intact)
    state.register("press-1")


def test_a_missing_database_never_leads_to_a_new_ca(state: State) -> None:
    state.register("press-1")
    database = (state.path / "devices.db").rename(state.path.parent / "devices.db")
    before = state.snapshot()
    check_error(state.run("register", "press-2", expect=3))
    check_error(state.run("init-ca", expect=4))
    assert state.snapshot() == before
    database.rename(state.path / "devices.db")
    state.register("the-next-one")


# -- places, rules and values ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "folder with the file", "broken link"])
def test_an_output_that_exists(state: State, tmp_path: Path, kind: str) -> None:
    state.register("press-1")
    out = tmp_path / "out.zip"
    if kind == "broken link":
        out.symlink_to(tmp_path / "nowhere")
    elif kind == "file":
        out.write_text("precious")
    else:
        out.mkdir()
    outside = snapshot(tmp_path)
    with unchanged(state):
        check_error(state.run("export", "press-1", "--format", "zip", "--out", out, expect=4), "out.zip")
    assert {path: found for path, found in snapshot(tmp_path).items() if path.startswith("out")} == {
        path: found for path, found in outside.items() if path.startswith("out")
    }


def test_a_device_that_would_outlive_its_ca(state: State) -> None:
    with unchanged(state):
        result = state.run("register", "press-1", "--validity-days", "5000", expect=6)
        check_error(result)
        assert "3649" in result.stderr or "3650" in result.stderr, "the number of days that would fit"


@pytest.mark.parametrize("host", ["-x.example", "a b", "exa_mple..com", "http://broker.example", "1.2.3.4/24", ""])
def test_a_bad_host_name(state: State, host: str) -> None:
    with unchanged(state):
        check_error(state.run("broker", "issue", "--", host, expect=6))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cert_validity_days", "many"),
        ("cert_validity_days", "0"),
        ("cert_validity_days", "-5"),
        ("key_type", "rsa-512"),
        ("database_url", "postgresql://host/db"),
        ("acl.topics", "readwrite:devices/{device_id}#"),
        ("acl.topics", "anything:x"),
        ("acl.topics", "readwrite:x\nuser admin"),
    ],
)
def test_a_bad_setting(state: State, key: str, value: str) -> None:
    with unchanged(state):
        check_error(state.run("config", "set", key, "--", value, expect=6))
    before = state.snapshot()
    variable = "IOTONBOARD_" + key.upper().replace(".", "_")
    check_error(state.run("register", "press-9", env={variable: value}, expect=6))
    assert state.snapshot() == before


@pytest.mark.parametrize("text", ["no toml", "no_such_key = 1\n", "cert_validity_days = 'many'\n"])
def test_a_broken_configuration_file(state: State, text: str) -> None:
    path = state.path / "iotonboard.toml"
    intact = path.read_bytes() if path.exists() else None
    path.write_text(text)
    before = state.snapshot()
    check_error(state.run("config", "accept", expect=6))
    assert state.snapshot() == before
    assert "warning: " in state.run("register", "press-1").stderr  # with the settings that are sealed
    path.unlink() if intact is None else path.write_bytes(intact)
    state.register("the-next-one")


@pytest.mark.parametrize(
    "line",
    [
        b"usr x\n",
        b"topic readwrite a#b\n",
        b"\ttopic x\n",
        b"topic readwriteonly x y\n",
        b"  # indented\n",
        b"user\n",
    ],
)
def test_an_operators_line_that_would_break_the_broker_is_not_published(state: State, line: bytes) -> None:
    """The broker would let everybody in. What is committed stays, and the ACL keeps its old text."""
    broken = line + state.acl.read_bytes()
    state.acl.write_bytes(broken)
    result = state.run("sync-acl", "--json", expect=8)
    assert [one["what"] for one in result.json["unpublished"]] == ["acl"]
    assert "not done: acl: line 1" in result.stderr
    assert state.acl.read_bytes() == broken
    state.acl.write_bytes(broken.removeprefix(line))
    state.register("the-next-one")
    assert "the-next-one" in state.acl.read_text()


@pytest.mark.parametrize("kind", ["acl", "crl"])
def test_a_link_in_the_place_of_a_published_file_is_told(state: State, tmp_path: Path, kind: str) -> None:
    """The broker reads what the link leads to, and would never see a revocation."""
    state.register("press-1")
    place, target = getattr(state, kind), tmp_path / "of-the-broker"
    place.rename(target)
    place.symlink_to(target)
    old = target.read_bytes()
    said = state.run("revoke", "press-1", expect=8).stderr
    assert "the change is recorded" in said
    assert "symbolic link" in said
    assert (place.is_symlink(), target.read_bytes()) == (True, old)
    place.unlink()
    target.rename(place)
    state.run("gen-crl")
    assert b"press-1" not in state.acl.read_bytes()
    assert state.json("verify", "press-1", expect=9)["devices"][0]["at_start"]["cause"] == "revoked"


def test_an_acl_is_not_written_over_a_device(state: State, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    check_error(state.run("sync-acl", "--out", tmp_path / "pipe", expect=4), "is not a file")


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs symbolic links")
def test_a_state_that_is_a_file(state: State, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = run_cli("list", state=tmp_path / "file", expect=3)
    check_error(result)
    assert (tmp_path / "file").read_text() == "x"


def test_revoke_leaves_nobody_out_without_saying_so(state: State, tmp_path: Path) -> None:
    serial = state.register("a", "b", "c")[2]["serial"]
    before = state.snapshot()
    state.run("revoke", "a", "b", "--serial", serial, expect=2)
    assert state.snapshot() == before
    (tmp_path / "list.csv").write_text(f"device_id,serial\na,no\nb,\nc,{serial}\n")
    result = state.run("revoke", "--batch", tmp_path / "list.csv", "--json", expect=6)
    assert [answer["device_id"] for answer in result.json_lines] == ["b", "c"]
    assert "line 2: 'no' is not a serial number" in result.stderr
    state.run("revoke", "--batch", tmp_path / "list.csv", "--strict", expect=6)


@pytest.mark.parametrize(
    "name", ["devices.db", "devices.db-wal", "certs/ca.key", "certs/ca.crt", "iotonboard.toml", "."]
)
@pytest.mark.parametrize("setting", ["broker_crl_file", "broker_acl_file"])
def test_no_setting_publishes_over_a_file_of_the_state(state: State, setting: str, name: str) -> None:
    """A slip of the hand must not put a CRL where the database or the CA key is."""
    before = state.snapshot()
    result = state.run("config", "set", setting, name, expect=6)
    assert "would be used for two things" in result.stderr
    state.run("gen-crl", env={f"IOTONBOARD_{setting.upper()}": name}, expect=6)
    assert state.snapshot() == before


def test_acl_and_crl_are_never_one_file(state: State) -> None:
    state.run("config", "set", "broker_crl_file", "mosquitto.acl", expect=6)
    state.run("config", "set", "database_url", "sqlite:///mosquitto.acl", expect=6)
    state.run("config", "set", "broker_crl_file", "broker/../crl.pem")
    register(state, "ok-1")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
def test_a_pipe_or_a_device_is_not_replaced_by_a_file(state: State, tmp_path: Path) -> None:
    """As root, a rename over /dev/null would take it away from the whole system."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    register(state, "a")
    with unchanged(state):
        assert "is not a file" in state.run("config", "set", "broker_crl_file", pipe, expect=4).stderr
    state.run("register", "b", env={"IOTONBOARD_BROKER_CRL_FILE": str(pipe)}, expect=None)
    assert "is not a file" in state.run("export", "a", "--format", "p12", "--out", pipe, "--force", expect=4).stderr
    assert pipe.is_fifo()


def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path) -> None:
    script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$1" -m iotonboard list'
    done = run_tool(
        "bash",
        "-c",
        script,
        tmp_path / "gone",
        sys.executable,
        env=program_environment(env={"IOTONBOARD_STATE": None}),
        expect=3,
    )
    assert "the current folder was deleted" in done.stderr


def test_a_home_is_written_out_wherever_it_stands(state: State, tmp_path: Path) -> None:
    """A shell leaves it as it is behind '=' and in quotes; then a folder named '~' was made."""
    (home := tmp_path / "home").mkdir()
    moved = {"HOME": str(home), "IOTONBOARD_STATE": "~/state", "IOTONBOARD_PASSPHRASE_FILE": "~/key-file"}
    shutil.copytree(state.path, home / "state")
    shutil.copy2(state.passphrase_file, home / "key-file")
    state.run("register", "a", "--results=~/results.csv", env=moved)
    state.run("pack", "--out", "~/package", env=moved)
    assert {path.name for path in home.iterdir()} >= {"results.csv", "package"}
    said = state.run("pack", "--out", "~nobody-of-this-name/package", cwd=tmp_path, expect=2).stderr
    assert "which home" in said
    assert not list(tmp_path.glob("~*"))


@pytest.mark.parametrize("words", [("register", "--no-bundle"), ("revoke", "--defer"), ("confirm",)], ids=" ".join)
def test_a_header_that_is_no_csv_is_named(state: State, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "list.csv").write_bytes(b"device_id," + b"x" * 200_000 + b"\na,b\n")
    result = state.run(*words, "--batch", tmp_path / "list.csv", expect=6)
    assert "line 1:" in result.stderr
    assert "hint" in result.stderr


def test_a_list_with_two_columns_of_ids_is_refused(state: State, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("device_id,id\na,b\n")
    state.run("register", "--batch", tmp_path / "list.csv", expect=6)


def test_an_empty_list_revokes_nobody_and_says_so(state: State, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("device_id\n")
    assert "names no device" in state.run("revoke", "--defer", "--batch", tmp_path / "list.csv").stderr


CLOSED = [
    ("register a", "<&-", 0),
    ("register b", ">&-", 0),
    ("register c", "2>&-", 0),
    ("register d", "<&- >&- 2>&-", 0),
    ("register e", "2>/dev/full", 0),
    ("show nobody", "2>/dev/full", 5),
    ("list --json", ">&-", 0),
    ("register --stream", "<&-", 0),
    ("register --batch -", "<&-", 6),
    ("register f --csr -", "<&-", 6),
    ("gen-crl --passphrase-file -", "<&-", 7),
]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_closed_and_full_streams_change_no_exit_code(state: State) -> None:
    """A log on a full disk must not make a line script believe that a registered device failed."""
    calls = [f'"$0" -m iotonboard {words} {streams}; echo $?' for words, streams, _ in CLOSED]
    script = "exec 3>&1; {\n" + "\n".join(calls).replace("echo $?", "echo $? >&3") + "\n} > /dev/null"
    done = run_tool("bash", "-c", script, sys.executable, env=program_environment(state=state))
    assert [int(code) for code in done.stdout.split()] == [code for _, _, code in CLOSED], done.stderr
    assert "Traceback" not in done.stderr
    ids = [answer["device_id"] for answer in state.run("list", "--json").json_lines]
    assert ids == ["a", "b", "c", "d", "e"]
    state.run("health", "--deep")


@pytest.mark.parametrize("setting", ["broker.user", "broker.group"])
@pytest.mark.parametrize("name", ["nobody-of-that-name", "99999999999"])
def test_a_broker_user_that_is_not_there_is_refused_when_it_is_set(state: State, setting: str, name: str) -> None:
    with unchanged(state):
        result = state.run("config", "set", setting, name, expect=5)
    assert f"there is no {setting.removeprefix('broker.')} '{name}'" in result.stderr


def test_no_count_fills_the_memory(state: State) -> None:
    with unchanged(state):
        state.run("register", "--count", "99999999999999999999", expect=2)


def test_a_request_named_dash_in_a_list_is_a_file(state: State, tmp_path: Path) -> None:
    """A row must not wait for a key that somebody types."""
    (tmp_path / "list.csv").write_text("device_id,csr\na,-\n")
    result = state.run("register", "--batch", "list.csv", cwd=tmp_path, input="from stdin", expect=6)
    assert "there is no file './-'" in result.stderr


@pytest.mark.parametrize("attributes", ["5", "false", '"line=A3"', "[]"])
def test_attributes_that_are_no_object_are_refused(state: State, attributes: str) -> None:
    line = f'{{"device_id": "a", "attributes": {attributes}}}\n'.encode()
    assert "must be an object" in state.run("register", "--stream", input=line, expect=6).stderr


def test_a_passphrase_file_that_is_not_there_is_no_unknown_device(state: State, tmp_path: Path) -> None:
    """A script goes on with the next device after exit 5; an unplugged stick concerns all of them."""
    register(state, "a")
    (tmp_path / "huge").write_bytes(bytes(1 << 17))
    for name in ("no-key", "huge", "."):
        words = ("gen-crl", "--passphrase-file", tmp_path / name)
        assert "--passphrase-file" in state.run(*words, expect=7).stderr


@pytest.mark.parametrize("words", [("list",), ("renew",)])
def test_no_number_of_days_is_too_large_for_a_date(state: State, words: tuple[str, ...]) -> None:
    state.run(*words, "--expiring-within", "99999999999", expect=2)
    state.run(*words, "--expiring-within", "36500")


def test_the_new_passphrase_is_a_new_one(state: State, tmp_path: Path) -> None:
    """Whoever names the old key file, or any file that is there, must not believe that the passphrase was changed."""
    (tmp_path / "notes.txt").write_text("first line\n")
    with unchanged(state):
        for option in ("--generate-key-file", "--new-passphrase-file"):
            assert "is the old one" in state.run("ca", "passwd", option, state.passphrase_file, expect=4).stderr
        state.run("ca", "passwd", "--generate-key-file", tmp_path / "notes.txt", expect=4)


def test_a_restore_with_another_file_as_crl_says_which_one_is_needed(state: State, tmp_path: Path) -> None:
    state.run("backup", tmp_path / "b.zip")
    words = ("restore", tmp_path / "b.zip", "--state", tmp_path / "new", "--crl")
    assert "that a broker has" in state.run(*words, state.ca_cert, expect=6).stderr
    missing = state.run("backup", tmp_path / "no" / "b.zip", expect=8)
    assert "there is no such folder" in missing.stderr


def test_a_second_ca_in_the_same_shell_is_told_what_is_in_the_way(state: State, tmp_path: Path) -> None:
    """After the first day's 'export' the same 'init-ca' fails; the message must name the variable."""
    words = ("init-ca", "--state", tmp_path / "other", "--generate-key-file", tmp_path / "other.pass")
    assert "unset IOTONBOARD_PASSPHRASE_FILE" in state.run(*words, expect=2).stderr
