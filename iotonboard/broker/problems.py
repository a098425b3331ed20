"""What a broker's files can do to it, in words that are the same wherever they are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iotonboard.broker.acl import Version

DOES_NOT_START: Final = "the broker does not start"
ENDS: Final = "the broker ends"
REFUSES_CA: Final = "the broker refuses every device of this CA"
REFUSES_OTHERS: Final = "the broker refuses every device of this CA that the list is not for"
REFUSES_ALL: Final = "the broker refuses every connection"
ADMITS_REVOKED: Final = "the broker admits revoked devices"
ADMITS_EVERYTHING: Final = "every client may do everything"
ADMITS_OR_REFUSES: Final = f"{ADMITS_REVOKED}, or refuses every device of this CA"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that would go wrong. ``code`` is stable; ``at_start`` and ``at_reload`` say what follows, in words.

    A ``warning`` fails nothing by itself. ``ca`` is whose devices it is about, as SHA-256 of that CA's certificate, or
    empty: everybody's.
    """

    path: str
    code: str
    message: str
    at_start: str = ""
    at_reload: str = ""
    warning: bool = False
    ca: str = ""

    def concerns(self, cas: frozenset[str]) -> bool:
        """Say whether it is about devices of these CAs, or everybody's."""
        return not self.ca or self.ca in cas


def unusable(path: str, code: str, message: str, at_reload: str, version: Version) -> Problem:
    """A file that the broker cannot read: it does not start; at a reload 2.0 goes on somehow, and 2.1 ends."""
    return Problem(path, code, message, DOES_NOT_START, at_reload if version == "2.0" else ENDS)
