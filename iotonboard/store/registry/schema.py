"""The tables of a registry, in words that SQLite and PostgreSQL both read, and the views that other programs may read.

Rows below a station are numbered as the station numbers them. Times are seconds since 1970 (UTC); hashes, serials and
certificates are octets. Ids are ordered by their octets in both engines.

The views whose names begin with ``v1_`` are promised: a column never goes or changes its meaning while they are there
(``guide/office.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
# Words that the engines spell differently, by the engine's name.
_WORDS = {
    "sqlite": {"OCTETS": "BLOB", "NUMBER": "INTEGER", "WORDS": "TEXT", "TIME_OF": "datetime({}, 'unixepoch')"},
    "postgresql": {
        "OCTETS": "BYTEA",
        "NUMBER": "BIGINT",
        "WORDS": 'TEXT COLLATE "C"',
        "TIME_OF": "to_timestamp({})",
    },
}
_OF_STATION = "station NUMBER NOT NULL REFERENCES station(id)"
_TABLES = (
    "registry (key WORDS PRIMARY KEY, value WORDS NOT NULL)",
    # One row, which every change locks first: the only lock.
    "turn (id NUMBER PRIMARY KEY, taken NUMBER NOT NULL)",
    # The office's machines, each with a key of its own; ``certificate`` is signed by the first one's.
    """machine (key WORDS PRIMARY KEY, name WORDS NOT NULL, certificate OCTETS NOT NULL,
        added_at NUMBER NOT NULL, trusted_at NUMBER, removed_at NUMBER)""",
    # The office's own trail: every decision and everything that was taken, chained as a station's is.
    """trail (seq NUMBER PRIMARY KEY, time NUMBER NOT NULL, operator WORDS NOT NULL, host WORDS NOT NULL,
        command WORDS NOT NULL, subject WORDS NOT NULL, serial WORDS NOT NULL, detail WORDS NOT NULL,
        hash OCTETS NOT NULL)""",
    "trail_head (seq NUMBER PRIMARY KEY, hash OCTETS NOT NULL, machine WORDS NOT NULL, signature OCTETS NOT NULL)",
    # A note of what the trail decided; ``certificate``: of the CA that was trusted by its fingerprint.
    """station (id NUMBER PRIMARY KEY, name WORDS NOT NULL, certificate OCTETS NOT NULL, prefix WORDS NOT NULL,
        trusted_at NUMBER NOT NULL, removed_at NUMBER, until_row NUMBER NOT NULL, until_hash OCTETS NOT NULL,
        answered NUMBER NOT NULL, created NUMBER, has_acl NUMBER NOT NULL)""",
    "UNIQUE INDEX station_name ON station (name) WHERE removed_at IS NULL",
    # Journals as they came: their first three lines, and their parts beside.
    """journal (_OF_STATION, number NUMBER NOT NULL, digest WORDS NOT NULL, head OCTETS NOT NULL,
        since_row NUMBER NOT NULL, until_row NUMBER NOT NULL, created NUMBER NOT NULL, taken_at NUMBER NOT NULL,
        machine WORDS NOT NULL, PRIMARY KEY (station, number), UNIQUE (station, digest))""",
    """journal_part (station NUMBER NOT NULL, number NUMBER NOT NULL, name WORDS NOT NULL, octets OCTETS NOT NULL,
        PRIMARY KEY (station, number, name), FOREIGN KEY (station, number) REFERENCES journal(station, number))""",
    """issuer (_OF_STATION, id NUMBER NOT NULL, serial OCTETS NOT NULL, key WORDS NOT NULL, subject WORDS NOT NULL,
        not_before NUMBER NOT NULL, not_after NUMBER NOT NULL, der OCTETS NOT NULL, chain OCTETS, retired_at NUMBER,
        PRIMARY KEY (station, id))""",
    """root_crl (_OF_STATION, root OCTETS NOT NULL, number WORDS NOT NULL, this_update NUMBER NOT NULL,
        next_update NUMBER NOT NULL, der OCTETS NOT NULL, PRIMARY KEY (station, root))""",
    """device (_OF_STATION, id NUMBER NOT NULL, device_id WORDS NOT NULL, folded WORDS NOT NULL, name WORDS NOT NULL,
        attributes WORDS NOT NULL, created_at NUMBER NOT NULL, retired_at NUMBER, PRIMARY KEY (station, id))""",
    "INDEX device_folded ON device (folded, station)",
    "INDEX device_by_id ON device (device_id)",
    """topic (_OF_STATION, device NUMBER NOT NULL, access WORDS NOT NULL, topic WORDS NOT NULL,
        PRIMARY KEY (station, device, access, topic))""",
    "profile (_OF_STATION, id NUMBER NOT NULL, name WORDS NOT NULL, content WORDS NOT NULL, PRIMARY KEY (station, id))",
    # ``fingerprint``: SHA-256. ``profile``: its name, empty for a broker's.
    """certificate (_OF_STATION, id NUMBER NOT NULL, serial OCTETS NOT NULL, issuer NUMBER NOT NULL, device NUMBER,
        host WORDS, not_before NUMBER NOT NULL, not_after NUMBER NOT NULL, fingerprint OCTETS NOT NULL,
        profile WORDS NOT NULL, created_at NUMBER NOT NULL, PRIMARY KEY (station, id))""",
    "INDEX certificate_device ON certificate (station, device)",
    "INDEX certificate_serial ON certificate (serial)",
    "INDEX certificate_not_after ON certificate (not_after)",
    "INDEX certificate_host ON certificate (station, host) WHERE host IS NOT NULL",
    """revocation (_OF_STATION, certificate NUMBER NOT NULL, issuer NUMBER NOT NULL, revocation_date NUMBER NOT NULL,
        reason WORDS NOT NULL, not_after NUMBER NOT NULL, PRIMARY KEY (station, certificate))""",
    # Why a serial is on no list any more: it was on hold.
    """released (_OF_STATION, certificate NUMBER NOT NULL, released_at NUMBER NOT NULL,
        PRIMARY KEY (station, certificate))""",
    """foreign_revocation (_OF_STATION, issuer NUMBER NOT NULL, serial OCTETS NOT NULL,
        PRIMARY KEY (station, issuer, serial))""",
    "lost_device (_OF_STATION, device_id WORDS NOT NULL, serial OCTETS NOT NULL, PRIMARY KEY (station, device_id))",
    """crl (_OF_STATION, id NUMBER NOT NULL, issuer NUMBER NOT NULL, generation NUMBER NOT NULL, number NUMBER NOT NULL,
        this_update NUMBER NOT NULL, next_update NUMBER NOT NULL, revoked NUMBER NOT NULL, der OCTETS,
        PRIMARY KEY (station, id))""",
    # Revocations that the office ordered: closed once a list has come back that carries the serial.
    """revocation_order (id NUMBER PRIMARY KEY, _OF_STATION, serial OCTETS NOT NULL, device_id WORDS NOT NULL,
        reason WORDS NOT NULL, ordered_at NUMBER NOT NULL, closed_at NUMBER, crl_number NUMBER)""",
    "INDEX revocation_order_serial ON revocation_order (serial)",
    # What stations may make, and who made what under which order (0: under none, where orders are required).
    """production_order (id NUMBER PRIMARY KEY, _OF_STATION, devices NUMBER NOT NULL, profile WORDS NOT NULL,
        until NUMBER NOT NULL, signed_at NUMBER NOT NULL, withdrawn_at NUMBER)""",
    """production (_OF_STATION, certificate NUMBER NOT NULL, production_order NUMBER NOT NULL,
        PRIMARY KEY (station, certificate))""",
)  # fmt: skip
_LIVE = """NOT EXISTS (SELECT 1 FROM revocation r WHERE r.station = c.station AND r.certificate = c.id)"""
_VIEWS = (
    f"""v1_certificates AS SELECT s.name AS station, d.device_id AS device_id, c.host AS broker, c.serial AS serial,
        c.fingerprint AS fingerprint, c.profile AS profile, TIME(c.not_before) AS not_before,
        TIME(c.not_after) AS not_after, c.not_after AS not_after_epoch,
        CASE WHEN {_LIVE} THEN 0 ELSE 1 END AS is_revoked
        FROM certificate c JOIN station s ON s.id = c.station
        LEFT JOIN device d ON d.station = c.station AND d.id = c.device""",
    f"""v1_fleet AS SELECT s.name AS station, d.device_id AS device_id, d.name AS name, d.attributes AS attributes,
        TIME(d.created_at) AS created_at, CASE WHEN d.retired_at IS NULL THEN 0 ELSE 1 END AS is_retired,
        (SELECT max(c.not_after) FROM certificate c WHERE c.station = d.station AND c.device = d.id AND {_LIVE})
            AS valid_until_epoch
        FROM device d JOIN station s ON s.id = d.station""",
    """v1_revocations AS SELECT s.name AS station, d.device_id AS device_id, c.host AS broker, c.serial AS serial,
        r.reason AS reason, TIME(r.revocation_date) AS revocation_date
        FROM revocation r JOIN station s ON s.id = r.station
        JOIN certificate c ON c.station = r.station AND c.id = r.certificate
        LEFT JOIN device d ON d.station = c.station AND d.id = c.device""",
    """v1_stations AS SELECT s.name AS station, s.prefix AS prefix, TIME(s.created) AS journal_created,
        s.created AS journal_created_epoch, s.until_row AS journal_until_row,
        (SELECT max(l.next_update) FROM crl l WHERE l.station = s.id) AS crl_ends_epoch,
        CASE WHEN s.removed_at IS NULL THEN 0 ELSE 1 END AS is_removed FROM station s""",
    """v1_expiry AS SELECT station, device_id, broker, serial, not_after, not_after_epoch FROM v1_certificates
        WHERE is_revoked = 0""",
)  # fmt: skip


def statements(engine: str) -> Iterator[str]:
    """What makes an empty registry, statement by statement; ``engine`` is ``sqlite`` or ``postgresql``."""
    words = _WORDS[engine]
    for table in _TABLES:
        text = table.replace("_OF_STATION", _OF_STATION)
        for word in ("OCTETS", "NUMBER", "WORDS"):
            text = text.replace(word, words[word])
        yield f"CREATE {text}" if text.startswith(("INDEX", "UNIQUE INDEX")) else f"CREATE TABLE {text}"
    for view in _VIEWS:
        pieces = view.split("TIME(")
        text = pieces[0]
        for piece in pieces[1:]:
            column, _, rest = piece.partition(")")
            text += words["TIME_OF"].format(column) + rest
        yield f"CREATE VIEW {text}"
