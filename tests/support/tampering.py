"""A plant with a row in every table, and hand edits of its database.

Whoever edits here knows the program: every table and every column that means something is tried.
"""

# ruff: noqa: S608 - the statements are this test's own

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from iotonboard.broker.receipt import read_receipt, render_receipt
from iotonboard.pki import pem
from iotonboard.pki.crl import revoked_entries

from support.in_process import call
from support.old_fleet import OldFleet
from support.program import State
from support.site import Site

Edit = str | Callable[[sqlite3.Connection], object]


def edit(state: State, change: Edit) -> None:
    """Change the database as somebody with SQLite's shell does: no foreign keys, and schema and checks at will."""
    with closing(sqlite3.connect(state.path / "devices.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        if callable(change):
            change(connection)
        else:
            connection.executescript(change)


def found(state: State) -> list[str]:
    done = state.run("health", "--deep", "--json", expect=(0, 9))
    return [f"{one['kind']} {one['subject']}: {one['message']}" for one in done.json["differences"]]


def listed(state: State) -> set[str]:
    return set(serials_on_list(state))


def serials_on_list(state: State) -> list[str]:
    """What the list of this state's CA has; behind it stands that of others."""
    crl, *_ = pem.pem_decode_all("X509 CRL", state.crl.read_bytes())
    return [serial.hex for serial, *_ in revoked_entries(crl)]


def serials_of(state: State, device: str) -> list[str]:
    return [one["serial"] for one in call(state, "show", device, "--json").json["certificates"]]


def rules(state: State) -> set[str]:
    """What the ACL says of single devices' topics."""
    return {line for line in state.acl.read_text().splitlines() if line.startswith("topic")}


def _blocks(state: State) -> dict[str, list[str]]:
    """The lines that the ACL has for each user."""
    blocks: dict[str, list[str]] = {}
    for line in state.acl.read_text().splitlines():
        if line.startswith("user "):
            blocks[line.removeprefix("user ")] = []
        elif blocks:
            blocks[list(blocks)[-1]].append(line)
    return blocks


def denied(state: State) -> set[str]:
    """Whom the ACL silences by name."""
    return {name for name, lines in _blocks(state).items() if "topic deny #" in lines}


def permitted(state: State) -> set[str]:
    """Whom the ACL grants something by name."""
    return {name for name, lines in _blocks(state).items() if any(" deny " not in line for line in lines)}


def request(path: Path) -> None:
    """A request for the one key that a device made itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def broker_receipt(state: State, folder: Path) -> Path:
    """What broker-1 says of a package that it took."""
    (folder / "site").mkdir()
    site = Site(state, folder / "site")
    site.apply(site.pack(), "--receipt", str(site.folder / "receipt"))
    named = replace(read_receipt(str(site.folder / "receipt")), broker="broker-1")
    (folder / "receipt").write_bytes(render_receipt(named))
    return folder / "receipt"


def make_plant(pristine: State, folder: Path) -> State:
    """A row in every table: devices in every stage, a broker, deliveries, receipts, purges, topics, settings, CAs."""
    state = pristine.copy_to(folder)
    state.register("a", "b", "c", "held", "gone", "bare", "old")
    request(folder / "own.csr")
    state.run("register", "own", "--csr", folder / "own.csr")
    state.run("broker", "issue", "broker.test")
    state.run("topics", "add", "b", "read:line/1")
    state.run("config", "set", "cert_validity_days", "300")
    state.run("confirm", "c")
    state.run("purge", "bare")
    state.run("deliver", "b")
    state.run("renew", "old")
    state.run("revoke", "own", "--reason", "keyCompromise")
    state.run("revoke", "held", "--reason", "certificateHold")
    state.run("retire", "gone")
    state.run("revoke", "--serial", "7A" * 20, "--unknown", "--reason", "superseded")
    others = OldFleet(folder / "others")
    state.run("ca", "trust", "add", others.ca, "--crl", others.crl())
    state.run("gen-crl")
    state.run("receipts", broker_receipt(state, folder))
    state.run("revoke", "a", "--reason", "keyCompromise", "--defer")
    return state


def rewritten_trail(connection: sqlite3.Connection) -> None:
    """A row is changed and all hashes behind it are made anew, as anybody can; the signed head cannot be."""
    connection.execute("UPDATE audit SET operator = 'nobody' WHERE seq = 2")
    previous = bytes(32)
    columns = "seq, time, operator, host, command, subject, serial, detail"
    for seq, *rest in connection.execute(f"SELECT {columns} FROM audit ORDER BY seq").fetchall():
        text = json.dumps([seq, *rest], separators=(",", ":"))
        previous = sha256(previous + text.encode("ascii")).digest()
        connection.execute("UPDATE audit SET hash = ? WHERE seq = ?", (previous, seq))


def append_row(
    connection: sqlite3.Connection, subject: str, serial: str, detail: dict[str, object], command: str = "release"
) -> None:
    """A row of the trail that follows from the one before, as anybody can make it."""
    seq, digest = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    text = json.dumps(detail, separators=(",", ":"), sort_keys=True)
    values = [seq + 1, 1_800_000_000, "root", "here", command, subject, serial, text]
    digest = sha256(digest + json.dumps(values, separators=(",", ":")).encode("ascii")).digest()
    connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, digest))


def serial_of(connection: sqlite3.Connection, certificate: str) -> str:
    return str(connection.execute(f"SELECT hex(serial) FROM certificate WHERE id = {certificate}").fetchone()[0])


def forged_release(connection: sqlite3.Connection) -> None:
    (serial,) = connection.execute(
        f"SELECT hex(serial) FROM certificate WHERE id = ({NEWEST_OF.format('held')})"
    ).fetchone()
    connection.execute(f"DELETE FROM revocation WHERE certificate = ({NEWEST_OF.format('held')})")
    append_row(connection, "held", serial, {"released": True})


def later_entry(connection: sqlite3.Connection) -> None:
    """The revocation that is on no list yet counts from 2049 on, for a verifier that judges by dates."""
    certificate, entry = connection.execute(
        f"SELECT certificate, entry_der FROM revocation WHERE certificate = {A}"
    ).fetchone()
    later, digits = datetime(2049, 1, 1, tzinfo=UTC), entry[entry.index(b"Z") - 12 : entry.index(b"Z")]
    values = (int(later.timestamp()), entry.replace(digits, b"490101000000"), certificate)
    connection.execute("UPDATE revocation SET revocation_date = ?, entry_der = ? WHERE certificate = ?", values)


def forged_downgrade(connection: sqlite3.Connection) -> None:
    (serial,) = connection.execute(
        f"SELECT hex(serial) FROM certificate WHERE id = ({NEWEST_OF.format('own')})"
    ).fetchone()
    append_row(connection, "own", serial, {"revoked": "certificateHold"})


def device(name: str) -> str:
    return f"(SELECT id FROM device WHERE device_id = '{name}')"


def swapped(one: str, other: str, column: str) -> str:
    """The values of two certificates in each other's row."""
    return f"""CREATE TEMP TABLE swap AS SELECT id, {column} AS value FROM certificate WHERE id IN ({one}, {other});
        UPDATE certificate SET {column} = (SELECT value FROM swap WHERE swap.id <> certificate.id)
        WHERE id IN (SELECT id FROM swap)"""


def renamed(*pairs: tuple[str, str]) -> str:
    return ";".join(f"UPDATE device SET device_id = '{new}' WHERE device_id = '{old}'" for old, new in pairs)


def changed_schema(old: str, new: str) -> str:
    return (
        "PRAGMA writable_schema = ON;"
        f" UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}'); PRAGMA writable_schema = RESET;"
    )


NEWEST_OF = "SELECT max(id) FROM certificate WHERE device = (SELECT id FROM device WHERE device_id = '{}')"
A, B, C, HELD, OWN, OLD = (f"({NEWEST_OF.format(name)})" for name in ("a", "b", "c", "held", "own", "old"))
_ENTRY = "(SELECT entry_der FROM revocation WHERE reason = 'certificateHold')"
# What is edited -> how, and a word of what names it: the device, the table or the setting.
EDITS: dict[str, tuple[Edit, str]] = {
    # devices
    "device renamed": ("UPDATE device SET device_id = 'evil' WHERE device_id = 'b'", "evil"),
    "device named otherwise": ("UPDATE device SET name = 'x' WHERE device_id = 'b'", " b:"),
    "device with other attributes": ("""UPDATE device SET attributes = '{"a":"b"}' WHERE device_id = 'b'""", " b:"),
    "device of another day": ("UPDATE device SET created_at = created_at - 1 WHERE device_id = 'b'", " b:"),
    "device retired": ("UPDATE device SET retired_at = 1 WHERE device_id = 'b'", " b:"),
    "device no longer retired": ("UPDATE device SET retired_at = NULL WHERE device_id = 'gone'", " gone:"),
    "device retired earlier": ("UPDATE device SET retired_at = 5 WHERE device_id = 'gone'", " gone:"),
    "device added": ("INSERT INTO device VALUES (99, 'new', '', '{}', 1, NULL)", " new:"),
    "device deleted": ("DELETE FROM device WHERE device_id = 'b'", " b:"),
    # who was revoked, by the name that the broker sees
    "revoked device renamed": (renamed(("own", "evil")), "evil"),
    "revoked device renamed to a letter": (renamed(("own", "x")), " x:"),
    "revoked device named in other letters": (renamed(("own", "OWN")), " OWN:"),
    "revoked device's name for a valid one": (renamed(("own", "evil"), ("c", "own")), "evil"),
    "revoked device deleted": ("DELETE FROM device WHERE device_id = 'own'", "own"),
    "revoked certificate deleted": (f"DELETE FROM certificate WHERE id = {OWN}", "own"),
    "revoked certificate given away": (f"UPDATE certificate SET device = {device('c')} WHERE id = {OWN}", " c:"),
    "revoked certificate of a broker": (
        f"UPDATE certificate SET device = NULL, host = 'broker.test' WHERE id = {OWN}", "broker.test"
    ),
    "valid certificate for a revoked device": (
        f"UPDATE certificate SET device = {device('own')} WHERE id = {C}", " own:"
    ),
    "certificate added to a revoked device": (
        f"""INSERT INTO certificate SELECT 999, x'{"12" * 20}', issuer, device, host, not_before, not_after, der,
        spki_sha256, key_der, salt, created_at FROM certificate WHERE id = {OWN}""", " own:"
    ),
    "octets of a revoked certificate swapped": (swapped(OWN, C, "der"), " own:"),
    "devices of certificates swapped": (swapped(OWN, C, "device"), " own:"),
    "octets and devices of certificates swapped": (
        f"{swapped(OWN, C, 'device')}; DROP TABLE swap; {swapped(OWN, C, 'der')}", " own:"
    ),
    "names of devices swapped": (renamed(("b", "x"), ("c", "b"), ("x", "c")), " b:"),
    "broker renamed": ("UPDATE certificate SET host = 'x.test' WHERE host = 'broker.test'", "x.test:"),
    # certificates
    "serial": (f"UPDATE certificate SET serial = x'{'11' * 20}' WHERE id = {B}", " b:"),
    "issuer of a certificate": (f"UPDATE certificate SET issuer = 7 WHERE id = {B}", " b:"),
    "certificate given away": (f"UPDATE certificate SET device = 3 WHERE id = {B}", " c:"),
    "certificate of another host": ("UPDATE certificate SET host = 'x.test' WHERE host IS NOT NULL", "x.test"),
    "certificate begins earlier": (f"UPDATE certificate SET not_before = 1 WHERE id = {B}", " b:"),
    "certificate expires earlier": (f"UPDATE certificate SET not_after = 1 WHERE id = {B}", " b:"),
    "certificate lives longer": (f"UPDATE certificate SET not_after = not_after + 9 WHERE id = {B}", " b:"),
    "octets of a certificate": (f"UPDATE certificate SET der = x'3000' WHERE id = {B}", " b:"),
    "certificate of a neighbour": (
        f"UPDATE certificate SET der = (SELECT der FROM certificate WHERE id = {C}) WHERE id = {B}", " b:"
    ),
    "public key": (f"UPDATE certificate SET spki_sha256 = zeroblob(32) WHERE id = {B}", " b:"),
    "encrypted key": (f"UPDATE certificate SET key_der = x'00' WHERE id = {B}", " b:"),
    "encrypted key gone": (f"UPDATE certificate SET key_der = NULL WHERE id = {B}", " b:"),
    "salt": (f"UPDATE certificate SET salt = x'00' WHERE id = {B}", " b:"),
    "day of a certificate": (f"UPDATE certificate SET created_at = 1 WHERE id = {B}", " b:"),
    "certificate deleted": (f"DELETE FROM certificate WHERE id = {B}", " b:"),
    "certificate added": (
        f"""INSERT INTO certificate SELECT 999, x'{"12" * 20}', issuer, device, host, not_before, not_after, der,
        spki_sha256, key_der, salt, created_at FROM certificate WHERE id = {B}""", " b:"
    ),
    # revocations
    "revocation deleted": (f"DELETE FROM revocation WHERE certificate = {OWN}", " own:"),
    "revocation deleted before it was signed": (f"DELETE FROM revocation WHERE certificate = {A}", " a:"),
    "revocation moved": (f"UPDATE revocation SET certificate = {B} WHERE certificate = {OWN}", " own:"),
    "revocation on another CA's list": (f"UPDATE revocation SET issuer = 7 WHERE certificate = {OWN}", " own:"),
    "revocation dated later": (f"UPDATE revocation SET revocation_date = 4e9 WHERE certificate = {OWN}", " own:"),
    "compromise made a hold": (f"UPDATE revocation SET reason = 'certificateHold' WHERE certificate = {OWN}", " own:"),
    "compromise unspecified": (f"UPDATE revocation SET reason = 'unspecified' WHERE certificate = {A}", " a:"),
    "revocation that waits dated later": (later_entry, " a:"),
    "hold deleted": (f"DELETE FROM revocation WHERE certificate = {HELD}", " held:"),
    "revoked certificate expired": (f"UPDATE revocation SET not_after = 1 WHERE certificate = {OWN}", " own:"),
    "entry of a list": (f"UPDATE revocation SET entry_der = {_ENTRY} WHERE certificate = {OWN}", " own:"),
    "revocation added": (
        f"""INSERT INTO revocation (certificate, issuer, revocation_date, reason, not_after, entry_der)
            SELECT {B}, issuer, revocation_date, reason, not_after, entry_der FROM revocation
        WHERE certificate = {OWN}""", " b:"
    ),
    "revocation on an earlier list": (f"UPDATE revocation SET listed = 1 WHERE certificate = {A}", " a:"),
    "revocation on no list yet": (f"UPDATE revocation SET listed = NULL WHERE certificate = {OWN}", " own:"),
    # what else is about certificates
    "overlap added": (f"INSERT INTO overlap VALUES ({B}, NULL)", " b:"),
    "overlap without an end": ("UPDATE overlap SET ends_at = NULL", " old:"),
    "overlap longer": ("UPDATE overlap SET ends_at = ends_at + 9999", " old:"),
    "overlap deleted": ("DELETE FROM overlap", " old:"),
    "foreign revocation deleted": ("DELETE FROM foreign_revocation", "7A7A"),
    "foreign revocation changed": (f"UPDATE foreign_revocation SET entry_der = {_ENTRY}", "7A7A"),
    "foreign revocation added": (
        f"INSERT INTO foreign_revocation VALUES (1, x'{'13' * 20}', {_ENTRY})", "1313"
    ),
    "foreign revocation of another CA": ("UPDATE foreign_revocation SET issuer = 7", "7A7A"),
    "topic added": ("INSERT INTO topic SELECT id, 'write', '#' FROM device WHERE device_id = 'c'", " c:"),
    "topic changed": ("UPDATE topic SET topic = '#'", " b:"),
    "topic with more access": ("UPDATE topic SET access = 'readwrite'", " b:"),
    "topic of another device": ("UPDATE topic SET device = 3", " c:"),
    "topic deleted": ("DELETE FROM topic", " b:"),
    "delivery added": (
        """INSERT INTO delivery SELECT 99, certificate, NULL, place, sha256, created_at, expires_at, written_at,
        outcome, erased_at FROM delivery""", " b:"
    ),
    "delivery deleted": ("DELETE FROM delivery", "of delivery is gone"),
    "delivery of another device": (f"UPDATE delivery SET certificate = {C}", " c:"),
    "delivery elsewhere": ("UPDATE delivery SET place = '/tmp/x'", " b:"),
    "delivery of other octets": ("UPDATE delivery SET sha256 = zeroblob(32)", " b:"),
    "delivery of another day": ("UPDATE delivery SET created_at = 1", " b:"),
    "delivery with another outcome": ("UPDATE delivery SET outcome = 'copied'", " b:"),
    "receipt added": (f"INSERT INTO receipt VALUES (99, {B}, 1, 1)", " b:"),
    "receipt deleted": ("DELETE FROM receipt", " c:"),
    "receipt proved": ("UPDATE receipt SET proved = 1 - proved", " c:"),
    "receipt of another day": ("UPDATE receipt SET confirmed_at = 1", " c:"),
    "receipt of another device": (f"UPDATE receipt SET certificate = {B}", " b:"),
    "bundle exchanged": (f"UPDATE bundle SET sha256 = zeroblob(32) WHERE certificate = {B}", " b:"),
    "bundle of another device": (f"UPDATE bundle SET certificate = 999 WHERE certificate = {B}", " b:"),
    "bundle of an earlier certificate": (
        f"""UPDATE bundle SET sha256 = zeroblob(32) WHERE certificate < {OLD} AND certificate IN
            (SELECT id FROM certificate WHERE device = {device('old')})""", " old:"
    ),
    "purge added": (f"INSERT INTO purge VALUES ({B}, 1)", " b:"),
    "purge deleted": ("DELETE FROM purge", " bare:"),
    "purge of another day": ("UPDATE purge SET purged_at = 1", " bare:"),
    # what is in place at brokers
    "broker's receipt deleted": ("DELETE FROM broker_receipt", "broker_receipt"),
    "broker's receipt with a later package": ("UPDATE broker_receipt SET counter = counter + 9", " broker-1:"),
    "broker's receipt of a later ACL": ("UPDATE broker_receipt SET acl_change = 900", " broker-1:"),
    "broker seen to read": ("UPDATE broker_receipt SET is_read = 1 - is_read", " broker-1:"),
    "receipt of another broker": ("UPDATE broker_receipt SET broker = 'broker-2'", " broker-2:"),
    "broker's receipt of another day": ("UPDATE broker_receipt SET time = time + 60", " broker-1:"),
    "later list at a broker": ("UPDATE broker_receipt_crl SET number = 900", " broker-1:"),
    "list at a broker deleted": ("DELETE FROM broker_receipt_crl", "broker-1"),
    # CAs, lists and settings
    "CA retired": ("UPDATE issuer SET retired_at = 1", "ca:"),
    "CA with another key file": ("UPDATE issuer SET key_file = 'x.key'", "ca:"),
    "CA lives longer": ("UPDATE issuer SET not_after = not_after + 9", "ca:"),
    "CA added": (
        f"""INSERT INTO issuer SELECT 9, x'{"14" * 20}', not_before, not_after, der, 'x.key', created_at, NULL
        FROM issuer""", "ca:"
    ),
    "vault of an earlier CA": ("INSERT INTO earlier_vault VALUES (1, x'00')", "ca:"),
    "list deleted": ("DELETE FROM crl WHERE number = 1", "crl:"),
    "number of a list": ("UPDATE crl SET number = 900 WHERE number = (SELECT max(number) FROM crl)", "crl:"),
    "generation of a list": ("UPDATE crl SET generation = 900 WHERE number = (SELECT max(number) FROM crl)", "crl:"),
    "end of a list": ("UPDATE crl SET next_update = next_update + 9", "crl:"),
    "begin of a list": ("UPDATE crl SET this_update = this_update - 9", "crl:"),
    "count of a list": ("UPDATE crl SET revoked = 0", "crl:"),
    "octets of an earlier list for the last": (
        "UPDATE crl SET der = (SELECT der FROM crl WHERE number = 1) WHERE number = (SELECT max(number) FROM crl)",
        "crl",
    ),
    "octets of a list that was replaced": (
        "UPDATE crl SET der = (SELECT der FROM crl WHERE number = 1) WHERE number = 2", "crl CRL 2:",
    ),
    "octets of the last list gone": (
        "UPDATE crl SET der = NULL WHERE number = (SELECT max(number) FROM crl)", "crl",
    ),
    "known list deleted": ("DELETE FROM known_crl", "crl:"),
    "known list added": ("INSERT INTO known_crl VALUES (zeroblob(32), 1, 9)", "crl:"),
    "CA of others without our signature": ("UPDATE trusted_ca SET signature = zeroblob(70)", "trust:"),
    "CA of others taken out": ("UPDATE trusted_ca SET removed_at = 1", "trust:"),
    "CA of others gone": ("DELETE FROM trusted_ca", "trust:"),
    "later list of others": ("UPDATE trusted_crl SET next_update = next_update + 9", "trust:"),
    "list of others gone": ("DELETE FROM trusted_crl", "trust:"),
    "changes of others": ("UPDATE meta SET value = 900 WHERE key = 'trust_changes'", "trust_changes"),
    "sealed settings changed": ("""UPDATE setting_seal SET settings = '{"key_type":"rsa-2048"}'""", "settings:"),
    "sealed settings deleted": ("DELETE FROM setting_seal", "settings:"),
    "seal of the settings": ("UPDATE setting_seal SET signature = zeroblob(70)", "settings:"),
    "setting noted": ("INSERT INTO setting VALUES ('backup_days', '9')", "backup_days"),
    "vault": ("UPDATE meta SET value = x'00' WHERE key = 'vault'", "vault"),
    "vault gone": ("DELETE FROM meta WHERE key = 'vault'", "vault"),
    "last event": ("UPDATE meta SET value = 1 WHERE key = 'last_event'", "last_event"),
    "waiting revocations": ("UPDATE meta SET value = 0 WHERE key = 'unlisted_revocations'", "unlisted_revocations"),
    "changes of the ACL": ("UPDATE meta SET value = 900 WHERE key = 'acl_changes'", "acl_changes"),
    "counter of packages": ("INSERT OR REPLACE INTO meta VALUES ('package_counter', 4000000000)", "package_counter"),
    "calendar": ("INSERT INTO meta VALUES ('crl_calendar', '{}')", "crl_calendar"),
    "last backup": ("INSERT INTO meta VALUES ('last_backup', 1700000000)", "last_backup"),
    "note of another copy": ("INSERT INTO meta VALUES ('other_copy', 'x')", "other_copy"),
    "seals begun anew": ("DELETE FROM meta WHERE key = 'rows_sealed_from'", "rows_sealed_from"),
    # the schema
    "trigger": ("CREATE TRIGGER t AFTER INSERT ON revocation BEGIN DELETE FROM revocation; END", "trigger t:"),
    "view that hides": (
        "DROP VIEW crl_entry; CREATE VIEW crl_entry AS SELECT issuer, not_after, entry_der FROM revocation WHERE 0",
        "view crl_entry:",
    ),
    "view dropped": ("DROP VIEW device_status", "view device_status:"),
    "view added": ("CREATE VIEW mine AS SELECT 1", "view mine:"),
    "table added": ("CREATE TABLE mine (a)", "table mine:"),
    "index added": ("CREATE INDEX mine ON device (name)", "index mine:"),
    "index dropped": ("DROP INDEX certificate_spki", "index certificate_spki:"),
    "table dropped": ("DROP TABLE receipt", "table receipt:"),
    "column added": ("ALTER TABLE device ADD COLUMN more TEXT", "table device:"),
    "check of a column": (changed_schema("proved BETWEEN 0 AND 1", "proved BETWEEN 0 AND 9"), "table receipt:"),
    # the trail
    "row of the trail deleted": ("DELETE FROM audit WHERE seq = 5", "trail row 5:"),
    "row of the trail edited": ("UPDATE audit SET detail = '{}' WHERE seq = 5", "trail row 5:"),
    "row of the trail by another": ("UPDATE audit SET operator = 'x' WHERE seq = 5", "trail row 5:"),
    "trail rewritten": (rewritten_trail, "trail row"),
    "tail cut off": ("DELETE FROM audit WHERE seq > 9", "trail row"),
    "trail emptied": ("DELETE FROM audit; DELETE FROM audit_head", "trail row"),
    "signed head deleted": ("DELETE FROM audit_head", "trail row"),
    "signed head replaced": ("UPDATE audit_head SET signature = zeroblob(70)", "trail row"),
    "signed head moved": ("UPDATE audit_head SET seq = 5, hash = (SELECT hash FROM audit WHERE seq = 5)", "trail row"),
    "release appended": (forged_release, "trail row"),
    "revocation weakened in the trail": (forged_downgrade, "trail row"),
    "seals appended a second time": (
        lambda connection: append_row(connection, "rows", "", {"checkpoint": {}}), "trail row"
    ),
    "repair appended": (lambda connection: append_row(connection, "rows", "", {"repaired": True}), "trail row"),
}  # fmt: skip
