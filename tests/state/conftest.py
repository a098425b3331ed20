"""A state that is published in full, and one that forgot all of it."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.model import Caller, SerialNumber
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.outbox import delivery_path
from iotonboard.state.state import State as OpenState
from iotonboard.state.state import open_state
from iotonboard.store.deliveries import add_delivery
from iotonboard.store.pending import add_pending

from support.program import State

TOKEN = "5" * 32


@pytest.fixture(scope="session")
def published(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Two devices, one of them revoked, and a broker. Read only: copy it."""
    state = pristine.copy_to(tmp_path_factory.mktemp("published"))
    state.register("press-1", "press-2")
    state.run("broker", "issue", "broker.test")
    state.run("revoke", "press-2")
    return state


@pytest.fixture
def state(published: State, tmp_path: Path) -> State:
    return published.copy_to(tmp_path)


@pytest.fixture
def opened(state: State) -> Iterator[OpenState]:
    with open_state(str(state.path), {}, Caller("tester", "here", "test"), lambda: datetime.now(UTC)) as opened:
        yield opened


@pytest.fixture
def unpublished(state: State, opened: OpenState) -> OpenState:
    """Open, but every published file is gone, with what was noted of it; a delivery is recorded and not written."""
    bundle = (state.device("press-1") / "creds.zip").read_bytes()
    with closing(sqlite3.connect(state.path / "devices.db")) as connection:
        rows = connection.execute("SELECT serial, device FROM certificate ORDER BY id").fetchall()
    with opened.store.transaction():
        before = opened.store.meta("crl_published") - 1
        opened.store.set_meta("crl_published", before)
        opened.store.set_meta("generation_kept", before)
        opened.store.set_meta("ca_published", "")
        mark_acl(opened)
        for serial, device in rows:
            add_pending(opened.store, SerialNumber.from_octets(serial), bundle if device else None)
        now, expires = opened.clock(), opened.clock() + timedelta(hours=1)
        place, digest = delivery_path(opened.paths, TOKEN), hashlib.sha256(bundle).digest()
        first = SerialNumber.from_octets(rows[0][0])
        add_delivery(opened.store, first, token=TOKEN, place=place, sha256=digest, now=now, expires_at=expires)
    for path in (state.crl, state.ca_cert, state.acl):
        path.unlink()
    for folder in (
        state.certs / "devices",
        state.certs / "brokers",
        state.path / "generations",
        state.path / "results",
    ):
        shutil.rmtree(folder)
    return opened
