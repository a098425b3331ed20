"""Settings that belong together are checked together, and against this machine, before they are set."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from iotonboard.broker.topics import parse_topic_rule, pattern_topic
from iotonboard.disk.permissions import check_plain, group_number, user_number
from iotonboard.disk.walking import no_folder
from iotonboard.errors import NotFoundError, PolicyError
from iotonboard.state import certificate_profiles, places, profile_problems
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.config import of_values
from iotonboard.state.layout import resolve_paths
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from iotonboard.state.layout import Paths
    from iotonboard.state.state import State

TOPIC_SETTINGS = frozenset({"acl.topics", "acl.style"})


def check_settings(root: str, values: Mapping[str, Any], changed: Collection[str]) -> Paths:
    """Check all values of a state, of which some are ``changed``, and say where everything is with them.

    Raises:
        NotFoundError: a user, group or folder that was changed is not there.
        ConflictError: a folder, a link or a device stands where the broker's file belongs.
        PolicyError: one file would be used for two things, a name is not UTF-8, a topic rule cannot be written in
            the ACL's style, or there is no such profile.
    """
    for key, value in values.items():
        refuse_no_text(key, value)
    if {"default_profile", "profiles"} & set(changed):
        profile_problems.refuse_bad_profiles(values["profiles"])
        certificate_profiles.find_profile(of_values(values), values["default_profile"])
    paths = resolve_paths(root, of_values(values))
    for key, number_of in (("broker.user", user_number), ("broker.group", group_number)):
        if key in changed and values[key]:
            number_of(str(values[key]))
    folders = {
        "ca_root_path": paths.certs,
        "broker_acl_file": os.path.dirname(paths.acl),
        "broker_crl_file": os.path.dirname(paths.crl),
        "broker_ca_file": os.path.dirname(paths.ca_for_broker),
    }
    files = {"broker_acl_file": paths.acl, "broker_crl_file": paths.crl, "broker_ca_file": paths.ca_for_broker}
    for key in folders.keys() & changed:
        if not os.path.isdir(folders[key]):
            raise NotFoundError(
                f"{key}: {no_folder(folders[key])}", hint="make it, or bring its disk; then set it again"
            )
        if key in files:
            check_plain(files[key])
    if TOPIC_SETTINGS & set(changed) and values["acl.style"] == "pattern":
        for rule in values["acl.topics"]:
            pattern_topic(parse_topic_rule(rule, template=True).topic)
    return paths


def refuse_no_text(key: str, value: object) -> None:
    """Refuse octets that are no UTF-8: neither the database nor the settings file could hold them.

    Raises:
        PolicyError: ``value`` has such.
    """
    try:
        str(value).encode("utf-8")
    except UnicodeEncodeError:
        hint = "reach what it names by a link, or give it a name, of letters that are UTF-8"
        raise PolicyError(f"{key}: {value!r} is not UTF-8, as settings are", hint=hint) from None


def where_keys_are(state: State, there: Paths) -> State:
    """The state as it finds the CA's keys: where the settings are about to say, if the keys lie there already."""
    names = [issuer.key_file for issuer in current_issuers(state.store)]
    is_there = all(os.path.exists(os.path.join(there.certs, name)) for name in names)
    return replace(state, paths=replace(state.paths, certs=there.certs)) if is_there else state


def follow_settings(state: State, there: Paths, changed: Collection[str]) -> None:
    """Note what the changed settings ask for, in the caller's transaction: the ACL anew, a place for its first use."""
    if TOPIC_SETTINGS & set(changed):
        mark_acl(state)
    if places.SETTINGS.keys() & set(changed):
        for place in places.Place:  # the CRL lies in the CA's folder unless it has a place of its own
            places.note_move(state, place, there)
