"""The views of version 2, as SQLite keeps them: apart from its tables, for each change looks at them first."""

from __future__ import annotations

from iotonboard.model import LATEST

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
