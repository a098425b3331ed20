"""How ``--reload`` reaches the broker that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from iotonboard.broker.check import BrokerFiles, check_before_reload
from iotonboard.broker.reload import parse_method, reload_broker

if TYPE_CHECKING:
    from iotonboard.state.state import State

# How a command reloads the broker, at its end and where that was asked for; what was seen is told.
Reload: TypeAlias = Callable[[], None]


def reload_configured(state: State) -> str:
    """Make the broker read the published files, and say what was seen.

    Raises:
        UsageError: ``broker.reload`` is not set.
        NotFoundError: there is no such broker process.
        PolicyError: the broker would stumble over the files, or cannot read them; nothing was sent.
        BusyError: it did not take them in time.
    """
    paths, timeout_s = state.paths, state.config["broker.reload_timeout_seconds"]
    method = parse_method(state.config["broker.reload"])
    check_before_reload(BrokerFiles(paths.acl, paths.crl, paths.ca_certificate, state.trusted_time()))
    return reload_broker(method, (paths.acl, paths.crl), timeout_s=timeout_s)
