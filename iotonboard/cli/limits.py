"""Ends and lives that some clients do not take, told to whoever makes such a certificate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.ca.credentials import Exported
    from iotonboard.cli.session import Session
    from iotonboard.model import Validity

_LAST_OF_32_BITS = datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)  # 2^31 - 1 seconds since 1970
# CA/Browser Forum, Baseline Requirements 6.3.2; Apple, support.apple.com/103769: also for CAs that users add.
_SERVER_DAYS = (("browsers, where it is", 398), ("Apple's systems, where it is", 825))


def tell_32_bits(session: Session, whose: str, not_after: datetime) -> None:
    """Say so when devices whose time has 32 bits cannot hold an end; they take it for past."""
    if not_after > _LAST_OF_32_BITS:
        session.message(
            f"warning: {whose} ends after {rfc3339(_LAST_OF_32_BITS)}: devices whose time has 32 bits take it for"
            " expired; where you have such, --validity-days makes a shorter one"
        )


class ExportLimits:
    """Tells of credentials that are written in a format what their devices may not take and what it could not hold.

    Each is told once, of the first device.
    """

    def __init__(self, session: Session, format_name: str) -> None:
        from iotonboard.delivery.formats.table import find_format

        self._session = session
        self._has_end_to_tell = find_format(format_name).small_device
        self._left_out: set[str] = set()

    def note(self, one: Exported) -> None:
        """Tell what is to be told of one device's credentials."""
        if self._has_end_to_tell and one.last_end > _LAST_OF_32_BITS:
            self._has_end_to_tell = False
            tell_32_bits(self._session, f"the certificate of {one.device_id!r} or of its CA", one.last_end)
        for name in one.left_out:
            if name not in self._left_out:
                self._left_out.add(name)
                self._session.message(
                    f"warning: attribute {name!r} does not fit into NVS (a name has at most 15 letters, a value 3999"
                    f" octets): it is left out of the file of {one.device_id!r}, and wherever else it does not fit"
                )


def tell_browsers(session: Session, validity: Validity) -> None:
    """Say so when browsers, or Apple's systems, take no server's certificate of that life."""
    days = int((validity.not_after - validity.not_before).total_seconds() / 86400)
    refused = [f"{name} of more than {most}" for name, most in _SERVER_DAYS if days > most]
    if refused:
        session.message(
            f"warning: {days} days: a broker's certificate is refused by {' and by '.join(refused)} days; where such"
            " connect, --validity-days makes a shorter one"
        )
