"""What the trail tells of revocations behind the last list: what stands just so is passed over, the rest is read."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.ca.recorded import entry_forms, lost_since_list
from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.pki.crl_entry import encode_entry, entry_date
from iotonboard.store import audit
from iotonboard.store.certificate_trail import told_since, told_unlike_entries
from iotonboard.store.store import Store

from support.in_process import call
from support.program import State

_REASONS = list(RevocationReason)
_OF = "certificate = (SELECT c.id FROM certificate c JOIN device d ON d.id = c.device WHERE d.device_id = 'superseded')"


@pytest.fixture(scope="module")
def deferred(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """A device for each reason, revoked since the last list."""
    state = pristine.copy_to(tmp_path_factory.mktemp("deferred"))
    assert call(state, "register", *_REASONS).exit_code == 0
    for reason in _REASONS:
        assert call(state, "revoke", reason, "--reason", reason, "--defer").exit_code == 0
    return state


def seen(state: State) -> tuple[int, set[str], set[str]]:
    """How many rows tell of revocations, and the serials that are read one by one, and that are lost."""
    now = datetime.now(UTC)
    with contextlib.closing(Store.open(str(state.path / "devices.db"), timeout_s=1, now=now)) as store:
        since = audit.newest_list(store, until=1 << 53)
        told = sum(one.reason is not None for one in told_since(store, since))
        read = {one.serial.hex for one in told_unlike_entries(store, since, entry_forms())}
        return told, read, {serial.hex for serial, *_ in lost_since_list(store)}


def test_revocations_of_every_reason_that_stand_as_they_are_told_are_not_read_one_by_one(deferred: State) -> None:
    told, read, lost = seen(deferred)
    assert told >= len(_REASONS)
    short = {serial for serial in read if serial.startswith("00")}  # an entry has no octets that are zero before it
    assert (read - short, lost) == (set(), set())


def entry_of(state: State) -> tuple[SerialNumber, datetime]:
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as connection:
        query = "SELECT c.serial, entry_der FROM revocation JOIN certificate c ON c.id = certificate WHERE OF"
        serial, entry = connection.execute(query.replace("OF", _OF)).fetchone()
    return SerialNumber.from_octets(serial), entry_date(entry)


@pytest.mark.parametrize(
    ("statement", "is_lost"),
    [
        ("DELETE FROM revocation WHERE OF", True),
        ("UPDATE revocation SET entry_der = :weaker WHERE OF", True),
        ("UPDATE revocation SET entry_der = :later WHERE OF", True),
        ("UPDATE revocation SET entry_der = :other WHERE OF", True),
        ("UPDATE revocation SET entry_der = :earlier WHERE OF", False),
        ("UPDATE revocation SET not_after = not_after - 1 WHERE OF", True),
        ("UPDATE audit SET detail = replace(detail, 'revoked', '\\u0072evoked') WHERE subject = 'superseded'", False),
        ("UPDATE audit SET detail = replace(detail, '20', '21') WHERE subject = 'superseded'", False),
    ],
)
def test_one_that_does_not_stand_so_is_read(deferred: State, tmp_path: Path, statement: str, is_lost: bool) -> None:
    state = deferred.copy_to(tmp_path)
    serial, date = entry_of(state)
    superseded, hour = RevocationReason.SUPERSEDED, timedelta(hours=1)
    values = {
        "weaker": encode_entry(serial, date, RevocationReason.CERTIFICATE_HOLD),
        "later": encode_entry(serial, date + hour, superseded),
        "earlier": encode_entry(serial, date - hour, superseded),
        "other": encode_entry(SerialNumber(serial + 1), date, superseded),
    }
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as connection:
        connection.execute(
            statement.replace("OF", _OF), {key: one for key, one in values.items() if f":{key}" in statement}
        )
        connection.commit()
    _, read, lost = seen(state)
    assert serial.hex in read
    assert (serial.hex in lost) is is_lost
