"""The views of version 2, as SQLite keeps them: apart from its tables, for each change looks at them first.

What the program did not make in a database works behind its back: a trigger undoes what a command records, a view shows
other rows than there are. Before a change triggers are dropped and views made anew; they hold no data.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from iotonboard.errors import StateError
from iotonboard.model import LATEST

if TYPE_CHECKING:
    from iotonboard.store.store import Store

VIEWS = (
    # Valid as long as it has not expired: a view knows no time, so a query adds not_after >= :now.
    """CREATE VIEW unrevoked_certificate AS SELECT c.* FROM certificate c
        WHERE NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id)""",
    # Valid, or on hold and perhaps valid again.
    """CREATE VIEW unended_certificate AS SELECT c.* FROM certificate c
        WHERE NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id AND r.reason <> 'certificateHold')""",
    # What a device's status is read from: until when it has a valid certificate and one that is on hold, and whether
    # its newest certificate is unrevoked.
    """CREATE VIEW device_status AS SELECT d.*,
        (SELECT max(c.not_after) FROM unrevoked_certificate c WHERE c.device = d.id) AS valid_until,
        (SELECT max(c.not_after) FROM certificate c JOIN revocation r ON r.certificate = c.id
            WHERE c.device = d.id AND r.reason = 'certificateHold') AS held_until,
        (SELECT max(c.id) FROM certificate c WHERE c.device = d.id)
            NOT IN (SELECT certificate FROM revocation) AS is_newest_unrevoked FROM device d""",
    # What is on the CRLs of an issuer until it was listed after its expiry; for ever without a certificate. The cast
    # gives both the same affinity: only then SQLite reads the tables straight through.
    f"""CREATE VIEW crl_entry AS SELECT issuer, not_after, entry_der FROM revocation
        UNION ALL SELECT issuer, CAST({LATEST} AS INTEGER), entry_der FROM foreign_revocation""",
)
_BY_NAME = {statement.split()[2]: statement for statement in VIEWS}
_MADE = """SELECT type, name, sql FROM main.sqlite_master WHERE name NOT GLOB 'sqlite_stat*'
    AND type IN ('trigger', 'view')"""


def mend_schema(store: Store) -> list[str]:
    """Drop triggers, and make changed views anew, inside a transaction; returns what was done, in words.

    What cannot be mended so is no obstacle: ``schema_differences`` (``expected.py``) names it.
    """
    found = store.rows(_MADE)
    views = {name: sql for kind, name, sql in found if kind == "view"}
    triggers = [name for kind, name, _ in found if kind == "trigger"]
    if not triggers and all(views.get(name) == sql for name, sql in _BY_NAME.items()):
        return []
    done = []
    for name in triggers:
        with suppress(StateError):
            store.execute(f"DROP TRIGGER main.{_quoted(name)}")
            done.append(f"dropped the trigger {name!r}, which changed rows behind the program's back")
    for name, sql in _BY_NAME.items():
        if views.get(name) != sql:
            with suppress(StateError):
                store.execute(f"DROP VIEW IF EXISTS main.{_quoted(name)}")
                store.execute(sql)
                done.append(f"made the view {name!r} anew, which somebody had changed")
    return done


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
