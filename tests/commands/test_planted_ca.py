"""A CA that somebody wrote into the database, or changed there, is no CA of this state for anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from iotonboard.pki import pem
from iotonboard.pki.keys import spki_der
from iotonboard.pki.signatures import SoftwareSigner, sign_statement
from iotonboard.state.settings_seal import settings_statement
from iotonboard.store.succession import recovery_statement, succession_statement

from support.in_process import call
from support.program import State
from support.tampering import append_row, edit, found, listed, serials_of

Plant = Callable[[sqlite3.Connection], None]


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> State:
    """His own CA, with a key that no passphrase keeps."""
    folder = tmp_path_factory.mktemp("attacker")
    state = State(folder / "state", folder / "none")
    state.run("init-ca", "--no-passphrase", env={"IOTONBOARD_PASSPHRASE_FILE": None})
    return state


@pytest.fixture
def plant(state: State, attacker: State) -> State:
    """Two devices, and the attacker's key beside the CA's."""
    state.register("a", "b")
    (state.certs / "x.key").write_bytes((attacker.certs / "ca.key").read_bytes())
    return state


def _certificate(attacker: State) -> bytes:
    return pem.pem_decode_all("CERTIFICATE", attacker.ca_cert.read_bytes())[0]


def _add(attacker: State, connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO issuer SELECT 9, x'1515', not_before, not_after, ?, 'x.key', created_at, NULL FROM issuer",
        (_certificate(attacker),),
    )


def _add_and_tell(attacker: State, connection: sqlite3.Connection) -> None:
    """He vouches for himself, and seals settings that run his command."""
    _add(attacker, connection)
    signer = SoftwareSigner(load_pem_private_key((attacker.certs / "ca.key").read_bytes(), None))  # type: ignore[arg-type]
    fingerprint = sha256(_certificate(attacker)).hexdigest()
    vouched = sign_statement(signer, succession_statement(fingerprint)).hex()
    append_row(connection, "ca", "15", {"fingerprint": fingerprint, "vouched": vouched}, command="ca rollover")
    settings = '{"broker.reload":"command:touch /tmp/run-by-the-attacker"}'
    signature = sign_statement(signer, settings_statement(9, settings))
    connection.execute("INSERT INTO setting_seal VALUES (9, ?, 9, ?, 1)", (settings, signature))


def _name_by_recovery(attacker: State, connection: sqlite3.Connection) -> None:
    """He says that a key of his names the CA after a lost one, and names himself with it."""
    _add(attacker, connection)
    signer = SoftwareSigner(Ed25519PrivateKey.generate())
    (der,) = connection.execute("SELECT der FROM issuer WHERE id = 1").fetchone()
    public, fingerprint = spki_der(signer.public_key()).hex(), sha256(_certificate(attacker)).hexdigest()
    signature = sign_statement(signer, recovery_statement(public)).hex()
    told = {"recovery": public, "by": sha256(der).hexdigest(), "signature": signature}
    append_row(connection, "ca", "14", told, command="ca recovery-passphrase")
    vouched = sign_statement(signer, succession_statement(fingerprint)).hex()
    append_row(connection, "ca", "15", {"fingerprint": fingerprint, "vouched": vouched}, command="ca recover")


def _change(attacker: State, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE issuer SET der = ?", (_certificate(attacker),))


def _change_with_key(attacker: State, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE issuer SET der = ?, key_file = 'x.key'", (_certificate(attacker),))


def _retire(_: State, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE issuer SET retired_at = (SELECT max(time) FROM audit)")


def _exchange(attacker: State, connection: sqlite3.Connection) -> None:
    _retire(attacker, connection)
    _add(attacker, connection)


@pytest.mark.parametrize("how", [_add, _add_and_tell, _name_by_recovery, _change, _change_with_key, _retire, _exchange])
@pytest.mark.parametrize("words", ["sync-acl", "gen-crl", "revoke a", "revoke a --defer", "pack --out FOLDER/package"])
def test_no_broker_gets_it_and_no_revocation_waits(
    plant: State, attacker: State, tmp_path: Path, how: Callable[[State, sqlite3.Connection], None], words: str
) -> None:
    (serial,) = serials_of(plant, "a")
    edit(plant, lambda connection: how(attacker, connection))
    if words != "revoke a":
        plant.ca_cert.unlink()
    line = words.replace("FOLDER", str(tmp_path)).split()
    done = call(plant, *line)
    assert done.exit_code in (0, 3, 4, 7, 8), done
    planted = pem.pem_encode("CERTIFICATE", _certificate(attacker))
    published = [plant.ca_cert, tmp_path / "package"]
    assert all(planted.strip() not in path.read_bytes() for path in published if path.exists())
    assert "command:" not in call(plant, "config", "show", "broker.reload").stdout
    if words == "revoke a":
        assert serial in listed(plant)


@pytest.mark.parametrize("how", [_add, _add_and_tell, _change, _change_with_key, _retire, _exchange])
def test_the_inspection_names_it(
    plant: State, attacker: State, how: Callable[[State, sqlite3.Connection], None]
) -> None:
    edit(plant, lambda connection: how(attacker, connection))
    assert any(one.startswith("row ca") or " ca:" in one for one in found(plant)), found(plant)


def test_a_ca_whose_key_was_stolen_does_not_come_back(state: State) -> None:
    state.run("ca", "replace", "--compromised", "--yes")
    edit(state, "UPDATE issuer SET retired_at = NULL")
    old = state.json("ca", "status")
    state.ca_cert.unlink()
    call(state, "sync-acl")
    assert len(pem.pem_decode_all("CERTIFICATE", state.ca_cert.read_bytes())) == 1
    assert len(old["cas"]) == 1


def test_no_file_is_erased_for_a_key_s_name(state: State, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("not ours")

    def plant_name(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO issuer SELECT 9, x'1515', not_before, not_after, der, ?, created_at, created_at FROM issuer",
            (f"../../{other.name}",),
        )
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('retired_keys', 1)")

    edit(state, plant_name)
    call(state, "sync-acl")
    assert other.exists()
