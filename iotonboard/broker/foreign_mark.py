"""The line before a CA of others in a CA file: its devices are let in, and nothing else that it signs counts.

Readers of PEM skip text outside of the blocks (RFC 7468 section 2). A file that is given to ``apply --ca`` says whose
packages are believed, and it may be the one that the broker reads.
"""

from __future__ import annotations

import re
from typing import Final

MARK: Final = b"# CA of others: its devices are let in, its packages are not\n"
_MARKED: Final = re.compile(rb"# CA of others:[^\n]*\n(-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----)")


def foreign_part(ca_file: bytes) -> bytes:
    """The CAs of others in a CA file, as PEM blocks."""
    return b"\n".join(_MARKED.findall(ca_file))


def without_marks(ca_file: bytes) -> bytes:
    """A CA file without the lines that mark CAs of others."""
    return ca_file.replace(MARK, b"")
