"""The tree of errors that the program raises on purpose.

Each class carries its exit code; each error carries what a person can do next. Anything else that
escapes is a defect of the program and ends with exit code 1 and a traceback.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def did_you_mean(typed: str, names: Iterable[str], otherwise: str) -> str:
    """The hint for a word that is none of ``names``: those that are spelled alike, in any case; else ``otherwise``."""
    by_folded = {str(name).casefold(): str(name) for name in names}
    alike = import_module("difflib").get_close_matches(typed.casefold(), by_folded, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(repr(by_folded[one]) for one in alike)}?" if alike else otherwise


def quoted(text: str, limit: int = 80) -> str:
    """What somebody typed, in quotes, as a message shows it: with dots behind the quotes where it is cut."""
    return f"{text[:limit]!r}{'...' if len(text) > limit else ''}"


class IotOnboardError(Exception):
    """Base of every expected failure.

    ``message`` is lower case, names the operand in quotes and says what is wrong.
    ``hint`` says what to type next; empty when there is nothing useful to say.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(IotOnboardError):
    """The command line itself is wrong."""

    exit_code = 2


class StateError(IotOnboardError):
    """The state directory is not initialised, is damaged, or was made by a newer version."""

    exit_code = 3


class DamageError(StateError):
    """A page of the database cannot be read; one of an index can be made anew."""


class ConflictError(IotOnboardError):
    """Something exists already, would be overwritten, or a revocation would be lost."""

    exit_code = 4


class NotFoundError(IotOnboardError):
    """The device, certificate or file that was named is not there."""

    exit_code = 5


class PolicyError(IotOnboardError):
    """Input that the rules refuse: a bad id, a bad CSV row, a bad CSR, a clock that went backwards."""

    exit_code = 6


class LintError(PolicyError):
    """A certificate or CRL that broke a rule and was therefore not signed."""


class KeyUnavailableError(IotOnboardError):
    """A key or passphrase is missing, wrong, or does not match its certificate."""

    exit_code = 7


class TokenLostError(KeyUnavailableError):
    """The token that holds the CA key does not answer any more; no device of a batch can be served."""


class BusyError(IotOnboardError):
    """The database is locked by another process, or the disk refused: try again."""

    exit_code = 8


@dataclass(frozen=True, slots=True)
class Unpublished:
    """One thing that is recorded and did not get out: ``what`` it is, where it should be, and what refused it.

    ``is_unsigned``: it waits for a signature of the CA, and not for a place alone.
    """

    what: str
    path: str
    error: IotOnboardError
    is_unsigned: bool = False


class UnpublishedError(IotOnboardError):
    """What was recorded stays, and is not, or not wholly, signed or published: the next command that can, does it.

    ``reload``: the broker was to be reloaded, and has to be once more when that command has done it. ``finish`` is what
    to type where that is none of the usual.
    """

    exit_code = 8

    def __init__(self, unpublished: Sequence[Unpublished], *, reload: bool = False, finish: str = "") -> None:
        self.unpublished = tuple(unpublished)
        if any(one.is_unsigned for one in self.unpublished):
            what, verb = "the change is recorded, and no CRL was signed", "gen-crl"
        elif all(one.what == "reload" for one in self.unpublished):
            what, verb = "the change is recorded and published, and the broker was not reloaded", "sync-acl"
        else:
            what, verb = "the change is recorded, and not everything is published", "sync-acl"
        verb += " --reload" if reload or any(one.what == "reload" for one in self.unpublished) else ""
        usual = f"once that is mended, type: iotonboard {verb}"
        super().__init__(what, hint=f"what is recorded stays; {finish or usual}")


class InterruptedBatchError(IotOnboardError):
    """A person or the system asked a batch to stop; what was committed stays."""

    exit_code = 130


def disk_error(error: OSError, path: str, *, mend: str = "") -> IotOnboardError:
    """Turn an operating system error into the program's own, with what to do next.

    ``mend``: what to type where the system refuses a right; empty where nothing but the general advice is known.
    """
    reason = error.strerror or str(error)
    hints = {
        errno.ENOENT: "there is no such folder: correct the name, or make it",
        errno.ENOTDIR: "a file stands where a folder belongs: correct the name",
        errno.ELOOP: "a symbolic link there leads in a circle: correct the name, or delete the link",
        errno.ENAMETOOLONG: "the disk takes no such long name: choose a shorter one",
        errno.ENOSPC: "free some space on that disk and run the same command again",
        errno.EDQUOT: "free some of your disk quota and run the same command again",
        errno.EACCES: mend or "run the command as the user who owns that folder, or correct its permissions",
        errno.EPERM: mend or "run the command as the user who owns that folder, or correct its permissions",
        errno.EROFS: "the disk is read-only: mount it writable and run the same command again",
        errno.EFBIG: "that disk (FAT: 4 GiB) or a limit (ulimit -f) takes no such large file: use another, or lift it",
        errno.EINVAL: 'the disk takes no such name (FAT: no " * : < > ? and |): choose another one',
    }
    hint = hints.get(error.errno or 0, "nothing was lost; run the same command again when the disk is well")
    return BusyError(f"cannot write {path!r}: {reason}", hint=hint)


class NotPrivateWarning(UserWarning):
    """What is written is not kept from others: a mount decides on its mode, or a key's passphrase is soon guessed."""
