"""The outbox: bundles below ``outbox/<token>/`` for a limited time.

A delivery is recorded first and written afterwards; its end is recorded first and cleared away afterwards.
A crash in between is finished by the next command. Every method runs under the write lock of its own transaction.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError
from iotonboard.files import erase_file, is_staging, make_private_dir, read_file, remove_empty_dir, write_atomic
from iotonboard.store.deliveries import open_deliveries, set_erased, set_outcome, set_written

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.store.deliveries import Delivery
    from iotonboard.store.store import Store

BUNDLE = "creds.zip"
_FOLDER_NAME = r"[0-9a-f]{32}"
_MAX_BUNDLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Outbox:
    """The folder ``outbox`` of a state. ``bundle_path`` names a device's published bundle."""

    store: Store
    folder: str
    bundle_path: Callable[[str], str]
    record: Callable[..., None]

    def path(self, token: str) -> str:
        """Where a delivery's file lies."""
        return os.path.join(self.folder, token, BUNDLE)

    def settle(self, now: datetime) -> None:
        """Close what expired or was taken, then write what waits and clear away what is closed."""
        found = open_deliveries(self.store)
        if not found and not os.path.isdir(self.folder):
            return
        closing = [(delivery, outcome) for delivery in found if (outcome := self._outcome(delivery, now))]
        if closing:
            with self.store.transaction():
                for delivery, outcome in closing:
                    set_outcome(self.store, delivery.id, outcome)
                    self.record(now, delivery.device_id, serial=delivery.serial.hex, detail={"delivery": outcome})
        with self.store.transaction():
            still_open = open_deliveries(self.store)
            for delivery in still_open:
                if delivery.outcome:
                    self._clear(delivery.token)
                    set_erased(self.store, delivery.id, now)
                elif not delivery.is_written:
                    self._write(delivery, now)
            self._clear_strangers({delivery.token for delivery in still_open})

    def _outcome(self, delivery: Delivery, now: datetime) -> str:
        """How an open delivery ended, or nothing while it goes on."""
        if delivery.outcome:
            return ""
        if delivery.is_written and not os.path.lexists(self.path(delivery.token)):
            return "fetched"
        if delivery.expires_at and delivery.expires_at <= now:
            return "expired"
        if not delivery.is_written and self._bundle(delivery) is None:
            return "failed"
        return ""

    def _bundle(self, delivery: Delivery) -> bytes | None:
        """The recorded bundle, as long as the device's folder holds it."""
        try:
            content = read_file(self.bundle_path(delivery.device_id), limit=_MAX_BUNDLE)
        except IotOnboardError:
            return None
        return content if sha256(content).digest() == delivery.sha256 else None

    def _write(self, delivery: Delivery, now: datetime) -> None:
        content = self._bundle(delivery)
        if content is None:
            return
        for folder in (self.folder, os.path.dirname(self.path(delivery.token))):
            make_private_dir(folder)
        write_atomic(self.path(delivery.token), content)
        set_written(self.store, delivery.id, now)

    def _clear(self, token: str) -> None:
        folder = os.path.dirname(self.path(token))
        if os.path.islink(folder) or not os.path.isdir(folder):
            return
        for name in os.listdir(folder):
            if name == BUNDLE or is_staging(name):
                erase_file(os.path.join(folder, name))
        remove_empty_dir(folder)

    def _clear_strangers(self, known: set[str]) -> None:
        """Clear folders that no record explains, such as those of a state that was restored."""
        if os.path.islink(self.folder) or not os.path.isdir(self.folder):
            return
        for name in os.listdir(self.folder):
            if re.fullmatch(_FOLDER_NAME, name) and name not in known:
                self._clear(name)
