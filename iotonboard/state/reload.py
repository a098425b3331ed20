"""How ``--reload`` reaches the broker that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from iotonboard.broker import reload_method
from iotonboard.broker.check import BrokerFiles, check_before_reload
from iotonboard.broker.conf_files import judge_broker_conf
from iotonboard.broker.last_read import unread_files
from iotonboard.broker.problems import DOES_NOT_START, ENDS, REFUSES_ALL
from iotonboard.broker.reload import reload_broker
from iotonboard.disk.owner import as_caller
from iotonboard.errors import PolicyError
from iotonboard.state import chain
from iotonboard.state.config import resolve_path
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from iotonboard.broker.conf_files import ConfJudgement
    from iotonboard.disk.owner import Owner
    from iotonboard.state.state import State

# How a command reloads the broker, at its end and where that was asked for; what was seen is told.
Reload: TypeAlias = Callable[[], None]


def judge_configured(state: State) -> ConfJudgement:
    """Judge the mosquitto.conf of ``broker.conf`` against what is published.

    Raises:
        NotFoundError: there is no such file.
    """
    paths = state.paths
    published = {"acl": paths.acl, "crl": paths.crl, "ca": paths.ca_for_broker}
    files = BrokerFiles("", "", "", state.trusted_time(), state.config["broker.version"], state.config["broker.user"])
    return judge_broker_conf(resolve_path(paths.root, state.config["broker.conf"]), published, files)


def check_conf_before_reload(state: State) -> None:
    """Make sure that a broker with its own configuration, certificate and key survives a reload.

    What a listener does not enforce is no reason to keep a revocation from it: ``health`` tells it.

    Raises:
        PolicyError: it would end, or refuse everybody; nothing was sent.
    """
    deadly = {DOES_NOT_START, ENDS, REFUSES_ALL}
    for problem in judge_configured(state).problems:
        if not problem.warning and {problem.at_start, problem.at_reload} & deadly:
            raise PolicyError(
                f"the broker was not reloaded: {problem.path!r}: {problem.message}",
                hint="correct that, then type 'iotonboard sync-acl --reload'; 'verify --conf FILE' says more",
            )


def unread_published(state: State) -> tuple[int, tuple[str, ...]]:
    """The broker's process, and which of CRL and ACL it has surely not read since they were published."""
    kind = state.config["broker.reload"].partition(":")[0]
    if kind not in {"pid", "systemd"}:
        return 0, ()
    with as_caller():
        method = reload_method.parse_method(state.config["broker.reload"])
        return unread_files(method, (state.paths.crl, state.paths.acl))


def reload_configured(state: State, *, as_user: Owner | None = None) -> str:
    """Make the broker read the published files, and say what was seen.

    ``as_user``: who runs a configured command. Signals and systemd are the caller's own: they can do no more than
    reload a broker.

    Raises:
        UsageError: ``broker.reload`` is not set.
        NotFoundError: there is no such broker process.
        PolicyError: the broker would stumble over the files, or cannot read them; nothing was sent.
        BusyError: it did not take them in time.
    """
    paths, timeout_s = state.paths, state.config["broker.reload_timeout_seconds"]
    method = reload_method.parse_method(state.config["broker.reload"])
    version = state.config["broker.version"]
    files = BrokerFiles(paths.acl, paths.crl, paths.ca_for_broker, state.trusted_time(), version)
    own = (chain.chain_in_force(state.store, issuer)[0] for issuer in current_issuers(state.store))
    check_before_reload(files, frozenset(sha256(der).hexdigest() for der in own))
    with as_caller():
        if state.config["broker.conf"]:
            check_conf_before_reload(state)
        return reload_broker(method, (paths.acl, paths.crl), timeout_s=timeout_s, as_user=as_user)
