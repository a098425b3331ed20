"""One passphrase is one role: what can be done without it, and what cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from iotonboard.pki import pem
from iotonboard.pki.keys import kdf_iterations

from support.program import State, write_key_file

# Issuing, giving rights back, opening secrets, sealing and signing.
OPENING = [
    ("register", "new"),
    ("register", "b", "--if-exists", "reissue"),
    ("renew", "b"),
    ("release", "held"),
    ("broker", "issue", "broker.test"),
    ("export", "b", "--format", "zip", "--out", "b.zip"),
    ("export", "b", "--format", "pem", "--out", "b"),
    ("bundle", "password", "b"),
    ("gen-crl",),
    ("pack", "--out", "package"),
    ("journal", "--out", "a.journal"),
    ("config", "set", "office", "ab" * 32),
    ("backup", "backup.zip"),
    ("config", "set", "acl.topics", "read:plant/x"),
    ("config", "set", "broker.reload", "command:true"),
    ("config", "set", "cert_validity_days", "700"),
    ("ca", "rollover", "begin"),
    ("ca", "replace", "--compromised"),
    ("ca", "passwd", "--generate-key-file", "new"),
    ("accept-clock",),
]


@pytest.fixture(scope="module")
def plant(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    state = pristine.copy_to(tmp_path_factory.mktemp("plant"))
    state.register("b", "held")
    state.run("revoke", "held", "--reason", "certificateHold")
    return state


@pytest.mark.parametrize("words", OPENING, ids=" ".join)
def test_nothing_is_issued_opened_or_given_back_without_the_passphrase(plant: State, words: tuple[str, ...]) -> None:
    before = plant.snapshot()
    plant.run(*words, env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=7)
    changed = dict(before.items() ^ plant.snapshot().items())
    notes = ('devices.db: INSERT INTO "audit" ', 'devices.db: INSERT INTO "meta" ')  # that a backup failed, say
    assert [name for name in changed if not name.startswith(notes) and name != "devices.db"] == []


@pytest.mark.parametrize(
    "words",
    [("revoke", "b"), ("retire", "b"), ("config", "set", "cert_validity_days", "30"), ("sync-acl",), ("purge", "b")],
    ids=" ".join,
)
def test_what_takes_away_needs_none(state: State, words: tuple[str, ...]) -> None:
    """So an operator alone can stop the plant; the trail tells who did."""
    state.register("b")
    rows = len(state.run("audit", "show", "--all", "--json").json_lines)
    done = state.run(*words, env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect={0, 8})
    assert "Traceback" not in done.stderr
    assert (len(state.run("audit", "show", "--all", "--json").json_lines) > rows) == (words[0] != "sync-acl")


def test_a_passphrase_of_a_person_is_stretched(tmp_path: Path) -> None:
    state = State(tmp_path / "state", tmp_path / "words")
    state.passphrase_file.write_text("a horse that staples batteries\n")
    state.passphrase_file.chmod(0o600)
    state.run("init-ca")
    (der,) = pem.pem_decode_all("ENCRYPTED PRIVATE KEY", (state.certs / "ca.key").read_bytes())
    assert (kdf_iterations(der) or 0) >= 600_000


def test_another_ca_in_the_place_of_the_state_is_told(tmp_path: Path) -> None:
    """Whoever writes there puts one there that needs no passphrase, and then nobody is asked for it."""
    none = {"IOTONBOARD_PASSPHRASE_FILE": None}
    words_of_a_person = {**none, "IOTONBOARD_PASSPHRASE": "some words of a person"}
    state = State(tmp_path / "state", tmp_path / "key-file")
    write_key_file(state.passphrase_file)
    state.run("init-ca", "--no-passphrase", env=none)
    told = "is this the state that you mean"
    for words in (("register", "a"), ("gen-crl",), ("revoke", "a"), ("ca", "rollover", "begin")):
        assert told in state.run(*words).stderr
    assert told in state.run("gen-crl", env=words_of_a_person).stderr
    assert told not in state.run("gen-crl", env=none).stderr
    state.run("ca", "passwd", "--new-passphrase-file", state.passphrase_file)
    assert told not in state.run("gen-crl").stderr
    state.run("gen-crl", env=words_of_a_person, expect=7)
