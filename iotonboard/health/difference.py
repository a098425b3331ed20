"""What the deep inspection finds: one thing that is not as it was recorded, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber


class Repair(Enum):
    """What ``health --repair`` does about a difference."""

    NOTHING = auto()  # only a backup knows what it was
    REVOKE = auto()  # record the revocation again
    WRITE_FILES = auto()  # write the files of the device or broker anew
    REINDEX = auto()  # build the database's indexes anew from its tables
    DELIVER = auto()  # put the bundle of an open delivery in its place again
    PUBLISH = auto()  # sign CRLs anew, write CRL, CA file and ACL
    SET_MODE = auto()  # take the rights of others away
    ACCEPT = auto()  # record it in the trail, and let what stands there now count


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was recorded. ``serial`` is of the certificate that is to be repaired."""

    kind: str
    subject: str
    message: str
    repair: Repair = Repair.NOTHING
    serial: SerialNumber | None = None
