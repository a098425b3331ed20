"""``config set``: check one setting and write it into ``iotonboard.toml``."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING

import tomli_w

from iotonboard.broker.topics import parse_topic_rule
from iotonboard.files import PRIVATE, write_atomic
from iotonboard.permissions import group_number, user_number
from iotonboard.reading import read_file
from iotonboard.state import config, places
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.layout import resolve_paths

if TYPE_CHECKING:
    from iotonboard.state.state import State

_TOPIC_RULE_SETTINGS = ("acl.topics", "acl.style")


def set_value(state: State, key: str, text: str) -> object:
    """Check and write one setting into ``iotonboard.toml``; the ACL follows when it depends on it.

    Raises:
        UsageError: there is no such setting.
        NotFoundError: there is no such user or group on this machine.
        PolicyError: the value is not allowed; the file stays.
    """
    raw = text.split(",") if key == "acl.topics" else text
    value = config.parse_value(key, raw, "command line")
    if number_of := {"broker.user": user_number, "broker.group": group_number}.get(key if value else ""):
        number_of(str(value))
    if key == "acl.topics":
        for rule in value:
            parse_topic_rule(rule, template=True)
    current = read_file(state.paths.config).decode("utf-8") if os.path.exists(state.paths.config) else ""
    tables = tomllib.loads(current)
    table, _, name = key.rpartition(".")
    target = tables.setdefault(table, {}) if table else tables
    target[name] = list(value) if isinstance(value, tuple) else value
    changed = tomli_w.dumps(tables)
    there = resolve_paths(state.paths.root, config.load_config(changed, {}))  # refuses two uses of one file
    with state.transaction() as now:
        state.record(now, key, detail={"value": text})
        if key in _TOPIC_RULE_SETTINGS:
            mark_acl(state)
        if key in places.SETTINGS:
            for place in places.Place:  # the CRL lies in the CA's folder unless it has a place of its own
                places.note_move(state, place, there)
        write_atomic(state.paths.config, changed.encode("utf-8"), PRIVATE)
    return value
