"""Ends and lives that some clients do not take, told to whoever makes such a certificate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from iotonboard.model import rfc3339

if TYPE_CHECKING:
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


def tell_browsers(session: Session, validity: Validity) -> None:
    """Say so when browsers, or Apple's systems, take no server's certificate of that life."""
    days = int((validity.not_after - validity.not_before).total_seconds() / 86400)
    refused = [f"{name} of more than {most}" for name, most in _SERVER_DAYS if days > most]
    if refused:
        session.message(
            f"warning: {days} days: a broker's certificate is refused by {' and by '.join(refused)} days; where such"
            " connect, --validity-days makes a shorter one"
        )
