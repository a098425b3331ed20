"""Which commands make no sense in a state of which kind: a root has no devices, and only a root has stations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.store.kind import is_added, is_root

if TYPE_CHECKING:
    from iotonboard.store.store import Store

_NOT_AT_A_ROOT = frozenset(
    {"adopt", "broker issue", "broker revoke", "bundle password", "ca install", "ca replace", "ca request",
     "ca trust add", "confirm", "deliver", "export", "journal", "labels", "order list", "order take",
     "order trust", "purge", "register", "release", "renew", "retire",
     "revoke", "topics add", "topics remove", "verify"}
)  # fmt: skip
_AT_A_ROOT_ALONE = frozenset({"ca revoke", "ca sign"})
_OTHERWISE = {
    "revoke": "'iotonboard ca revoke NAME' takes a station back",
    "journal": "each station's journal has its own chain to the root, and the root's list",
    "ca replace": "a stolen root is replaced by a new one: iotonboard help root",
}

# What goes on for a state as a whole, is for brokers, or is for other CAs.
_NOT_OF_AN_ADDED = frozenset(
    {"adopt", "backup", "broker", "ca add", "ca install", "ca passwd", "ca proof", "ca recover",
     "ca recovery-passphrase", "ca request", "ca revoke", "ca sign", "ca split", "ca token", "ca trust", "config",
     "generations", "init-ca", "init-office", "machine", "order trust", "pack", "profile", "receipts",
     "station", "sync-acl", "topics", "verify"}
)  # fmt: skip


def refuse_for_added(command: str, name: str) -> None:
    """End a command that makes no sense for a CA that was added.

    Raises:
        PolicyError: it does not.
    """
    if any(f"{command} ".startswith(f"{one} ") for one in _NOT_OF_AN_ADDED):
        raise PolicyError(f"there is no {command!r} of the CA {name!r} alone", hint="leave --ca out")


def refuse_kind(store: Store, command: str) -> None:
    """End a command that makes no sense in a state of this kind.

    Raises:
        PolicyError: it is about devices or brokers at a root, or about stations elsewhere; or the CA was added to
            another state.
    """
    if is_added(store):
        hint = "name that state with --state, and this CA with --ca NAME"
        raise PolicyError("this is a CA that was added to a state, and no state by itself", hint=hint)
    if command in _NOT_AT_A_ROOT and is_root(store):
        otherwise = _OTHERWISE.get(command, "name a station's state with --state")
        raise PolicyError(f"this is a root, without devices and brokers: no {command!r} here", hint=otherwise)
    if command in _AT_A_ROOT_ALONE and not is_root(store):
        hint = "name the root's state with --state; 'iotonboard init-ca --root' makes one"
        raise PolicyError(f"this state is not a root's: no {command!r} here", hint=hint)
