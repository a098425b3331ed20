"""Which devices the ACL names: the same ids whether the few that are left out are kept in memory or not."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.model import DeviceId, RevocationReason, SerialNumber, Validity
from iotonboard.store import acl as rooms
from iotonboard.store.acl import denied_ids, permitted_ids
from iotonboard.store.certificates import NewCertificate, add_certificate
from iotonboard.store.devices import add_device, set_retired
from iotonboard.store.issuers import add_issuer
from iotonboard.store.revocations import add_revocation
from iotonboard.store.store import Store

NOW = datetime(2030, 1, 1, tzinfo=UTC)
VALIDITY = Validity(NOW, NOW + timedelta(days=365))


@pytest.mark.parametrize("few", [0, 10_000])
def test_revoked_and_retired_devices_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(rooms, "_FEW", few)
    store = Store.open(str(tmp_path / "devices.db"), timeout_s=1, now=NOW, create=True)
    with store.transaction():
        issuer = add_issuer(store, SerialNumber(1 << 100), VALIDITY, b"ca", "ca.key", NOW)
        for number, name in enumerate(("c", "B", "a", "renewed", "retired", "revoked"), start=1):
            add_device(store, DeviceId(name), "", {}, NOW)
            for serial in (number, number + 100) if name == "renewed" else (number,):
                digest = hashlib.sha256(bytes((serial,))).digest()
                new = NewCertificate(SerialNumber(serial), VALIDITY, b"", "", digest, None, None)
                add_certificate(store, new, issuer=issuer, device_id=name, now=NOW)
        for serial in (4, 6):  # of the renewed device, the old one only
            add_revocation(store, SerialNumber(serial), NOW, RevocationReason.SUPERSEDED, b"entry")
        set_retired(store, "retired", NOW)
    assert list(permitted_ids(store, NOW)) == ["a", "B", "c", "renewed"]
    assert denied_ids(store, NOW, NOW) == ["revoked"]
    store.close()
