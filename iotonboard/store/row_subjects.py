"""Whom a row is about: a device, a broker's host, or what else people call it by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.store.store import Store

_BY_CERTIFICATE = frozenset(
    {"certificate", "certificate_profile", "production", "revocation", "overlap", "purge", "released", "reenrolment"}
)
_HOLDER = "SELECT coalesce(d.device_id, c.host) FROM certificate c LEFT JOIN device d ON d.id = c.device WHERE c.id = "
_QUERIES = {
    "device": "SELECT device_id FROM device WHERE id = ?",
    "delivery": f"{_HOLDER} (SELECT certificate FROM delivery WHERE id = ?)",
    "receipt": f"{_HOLDER} (SELECT certificate FROM receipt WHERE id = ?)",
    "broker_receipt": "SELECT broker FROM broker_receipt WHERE id = ?",
    "broker_receipt_crl": "SELECT broker FROM broker_receipt WHERE id = ?",
    "station": "SELECT name FROM station WHERE id = ?",
    "topic": "SELECT device_id FROM device WHERE id = ?",
    "set_aside": "SELECT subject FROM set_aside WHERE id = ?",
} | dict.fromkeys(_BY_CERTIFICATE, f"{_HOLDER} ?")
_BY_ITSELF = {
    "issuer": "ca",
    "crl": "crl",
    "crl_idp": "crl",
    "known_crl": "crl",
    "earlier_vault": "ca",
    "setting_seal": "settings",
    "compromised_ca": "ca",
    "ca_chain": "ca",
    "office_orders": "office",
    "production_count": "office",
    "profile": "profiles",
    "root_crl": "root",
    "trusted_ca": "trust",
    "trusted_crl": "trust",
}


def subject_of(store: Store, table: str, key: str, seq: int | None) -> str:
    """Whom a row is about, with the ``key`` that the trail names it by; of one that is gone, who the trail says.

    ``seq``: the row of the trail that seals it. Empty where nothing tells.
    """
    if table in ("broker", "lost_device", "setting", "meta"):
        return key
    if table in _BY_ITSELF:
        return _BY_ITSELF[table]
    if table == "foreign_revocation":
        return bytes.fromhex(key.partition(" ")[2]).hex().upper()
    found = store.row(_QUERIES[table], (key.partition(" ")[0],))
    if found and found[0]:
        return str(found[0])
    return _recorded_with(store, seq) if seq else ""


def certificates_of_row(store: Store, device: str) -> list[bytes]:
    """The certificates (DER) that name the row number of a device, whether that row is there or not."""
    return store.records(bytes, "SELECT der FROM certificate WHERE device = ?", (device,))


def _recorded_with(store: Store, seq: int) -> str:
    """Whom the rows of the trail are about that the sealing one stands behind, where that is one."""
    query = """SELECT DISTINCT subject FROM audit WHERE seq < :seq AND seq >
        (SELECT coalesce(max(seq), 0) FROM audit WHERE seq < :seq AND subject = :rows) LIMIT 2"""
    subjects = store.records(str, query, {"seq": seq, "rows": audit.ROWS})
    return subjects[0] if len(subjects) == 1 else ""
