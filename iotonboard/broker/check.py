"""What a broker will do with an ACL, a CRL file and a CA file, and with single clients, said before they are published.

Of certificates and lists OpenSSL is asked (``broker/handshake.py``); the ACL, owners and modes, and what Mosquitto
makes of a start and of a reload are judged here. Nothing is written and no state is needed.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iotonboard.broker.acl import Effect, read_acl
from iotonboard.broker.acl_oddities import odd_lines
from iotonboard.broker.handshake import TrustFiles, judge_handshakes
from iotonboard.broker.openssl import NotJudgedError
from iotonboard.broker.own_files import judge_own_files
from iotonboard.broker.problems import (
    ADMITS_EVERYTHING,
    ADMITS_REVOKED,
    DOES_NOT_START,
    ENDS,
    REFUSES_ALL,
    Problem,
    unusable,
)
from iotonboard.broker.verdict import Cause, Verdict, message_verdict
from iotonboard.disk.permissions import group_number, group_of, has_user, unreadable_for, user_number
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Acl, Version
    from iotonboard.broker.handshake import Client
    from iotonboard.broker.verdict import Event

_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """Where the three files are, the broker's clock and release, and whom it runs as.

    ``user`` is as in ``permissions.unreadable_for``; empty leaves owners and modes alone. ``has_own_ca`` says that the
    broker has a copy of the CA file elsewhere, so that nobody but OpenSSL looks at this one. ``contents`` are octets
    that were read already, by path: somebody may put other ones there.
    """

    acl: str
    crl: str
    ca: str
    at: datetime
    version: Version = "2.0"
    user: str = ""
    has_own_ca: bool = False
    contents: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClientVerdicts:
    """What becomes of one client when the broker has started with the files, and when it has reloaded them."""

    at_start: Verdict
    at_reload: Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong with the files, the ACL (None where the broker cannot read it), and a verdict for each client."""

    problems: tuple[Problem, ...]
    acl: Acl | None
    clients: tuple[ClientVerdicts, ...]


def judge_files(files: BrokerFiles, clients: Sequence[Client] = (), beside: Sequence[Problem] = ()) -> Judgement:
    """Judge the files, and what each client meets; a file that cannot be read is a problem, not an error.

    ``beside`` are problems of the same broker that were found elsewhere: they decide about its clients too.
    """
    problems: list[Problem] = []
    acl = _read_acl(files, problems)
    ca_files = replace(files, user="") if files.has_own_ca else files
    ca_pem = _read(files.ca, "ca-unreadable", REFUSES_ALL, ca_files, problems)
    crl_pem = _read(files.crl, "crl-unreadable", ADMITS_REVOKED, files, problems)
    trust = TrustFiles(files.ca, files.crl, ca_pem, crl_pem)
    try:
        shaken = judge_handshakes(trust, clients, files.at, files.version)
    except NotJudgedError as error:
        shaken = judge_own_files(trust, clients, files.at, files.version, why_not=str(error))
    problems += shaken.problems
    all_found = [*problems, *beside]
    verdicts = tuple(_as_the_broker_stands(one, all_found, has_list=shaken.has_list) for one in shaken.verdicts)
    return Judgement(tuple(problems), acl, verdicts)


def check_before_reload(files: BrokerFiles, own: frozenset[str]) -> None:
    """Make sure that a broker that reads these files now goes on enforcing them.

    Somebody may have written into one since it was published. What is wrong with a CA beside our ``own`` (SHA-256 of
    certificates) or with its list, and so with its devices alone, keeps no revocation from the broker.

    Raises:
        PolicyError: it would stumble over one of them; names the file and the reason.
    """
    for problem in judge_files(files).problems:
        if not problem.warning and problem.concerns(own):
            raise PolicyError(
                f"the broker was not reloaded: {problem.path!r}: {problem.message}; {problem.at_reload}",
                hint="correct that, then type 'iotonboard sync-acl --reload'; 'iotonboard verify' says more",
            )


def judge_message(
    judged: Judgement, name: str, access: str, topic: str, *, event: Event = "start", version: Version = "2.0"
) -> Verdict:
    """Say whether a connected device may ``read`` or ``write`` a topic."""
    return message_verdict(judged.acl, name, access, topic, event=event, version=version)


def _read(path: str, code: str, at_reload: str, files: BrokerFiles, problems: list[Problem]) -> bytes | None:
    """Read a file as the broker's user; ``None``, with its problem noted, where that user cannot."""
    try:
        if files.user and (reason := unreadable_for(path, files.user)):
            problems.append(unusable(path, code, reason, at_reload, files.version))
            return None
        return files.contents[path] if path in files.contents else read_file(path, limit=_LIMIT)
    except IotOnboardError as error:
        problems.append(unusable(path, code, error.message, at_reload, files.version))
        return None


def _read_acl(files: BrokerFiles, problems: list[Problem]) -> Acl | None:
    path, version = files.acl, files.version
    if version == "2.1" and os.path.islink(path):
        message = "Mosquitto 2.1 takes no symbolic link for its ACL"
        problems.append(unusable(path, "acl-link", message, ADMITS_EVERYTHING, version))
        return None
    text = _read(path, "acl-unreadable", ADMITS_EVERYTHING, files, problems)
    if text is None:
        return None
    found_problems, acl = read_acl(text, version=version)
    if version == "2.1" and files.user and acl is not None and path not in files.contents:
        problems += _told_by_2_1(path, files.user)
    for found in found_problems:
        if found.effect is Effect.REFUSED:
            problems.append(unusable(path, "acl-syntax", str(found), ADMITS_EVERYTHING, version))
        else:
            lost = "the broker ignores the rest" if found.effect is Effect.LOST else ""
            problems.append(Problem(path, f"acl-{found.effect.value}", str(found), lost, lost, not found.blocks))
    problems += [Problem(path, "acl-odd", str(found), warning=True) for found in odd_lines([text])]
    return acl


def _told_by_2_1(path: str, user: str) -> Iterator[Problem]:
    """What 2.1 warns of at every start and reload, and later releases are to refuse: modes and owners of the ACL."""
    for what, mend in _strangers(path, user):
        message = f"{what}: Mosquitto 2.1 warns at each start and reload, and a later one will not read it ({mend})"
        yield Problem(path, "acl-rights", message, warning=True)


def _strangers(path: str, user: str) -> Iterator[tuple[str, str]]:
    """Who but its user has to do with a file, and what to type: others, another owner, another group."""
    if not hasattr(os, "getgrouplist"):
        return
    found, name = os.stat(path), shlex.quote(path)
    if found.st_mode & stat.S_IRWXO:
        yield "others may read it", f"chmod o= {name}"
    if not user.startswith(":") and has_user(user) and not user.isdecimal():
        if found.st_uid != user_number(user):
            yield f"it is not user {user!r}'s", f"chown {user} {name}"
        group = group_of(user)
        if group and found.st_gid != group_number(group):
            yield f"it is not group {group!r}'s", f"chgrp {group} {name}"


def _as_the_broker_stands(verdict: Verdict, problems: Sequence[Problem], *, has_list: bool) -> ClientVerdicts:
    """What a client meets, where a file that cannot be read decides before its certificate does."""
    at_start = _down(next((one for one in problems if one.at_start == DOES_NOT_START), None), DOES_NOT_START)
    at_reload = _down(next((one for one in problems if one.at_reload in {ENDS, REFUSES_ALL}), None))
    if at_reload is None and not has_list and verdict.accepted:
        reason = "the broker could not read its CRL file at the reload and admits revoked devices too"
        at_reload = Verdict(accepted=True, cause=Cause.CRL_UNREADABLE, reason=reason)
    return ClientVerdicts(at_start or verdict, at_reload or verdict)


def _down(problem: Problem | None, what: str = "") -> Verdict | None:
    if problem is None:
        return None
    reason = f"{what or problem.at_reload}: {os.path.basename(problem.path)}: {problem.message}"
    return Verdict(accepted=False, cause=Cause.BROKER_DOWN, reason=reason)
