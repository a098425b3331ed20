"""Every message that a person sees on a terminal: no word is broken, and no Python value stands in it."""

from __future__ import annotations

import re

from support.messages import python_value
from support.program import State
from support.terminal import on_terminal

CALLS = (
    "init-ca", "config show", "config set acl.style pattern", "register press-1 press-2", "register press-1",
    "show press-1",
    "list", "renew press-1", "topics add press-1 read:plant/x", "topics list press-1", "deliver press-1", "deliveries",
    "confirm press-1", "bundle password press-1", "broker issue broker.plant4.local", "broker list",
    "broker show broker.plant4.local", "verify press-1", "revoke press-2 --reason hold", "release press-2",
    "retire press-2 --yes", "purge press-1 --yes", "gen-crl", "sync-acl", "generations", "expiring --within 400",
    "health", "health --list", "health --deep", "audit show", "audit verify", "audit head", "ca status",
    "ca rollover begin --yes", "ca rollover cancel", "ca trust list", "revoke press-9", "export press-1",
    "broker revoke broker.plant4.local", "accept-clock", "config write",
)  # fmt: skip


def test_no_word_is_broken_and_no_python_value_is_shown(state: State) -> None:
    for call in CALLS:
        raw, _, code = on_terminal(state, *call.split(), columns=80, env={"PAGER": "cat"})
        text = re.sub(r"\x1b\[[0-9;]*m", "", raw).replace("\r", "")
        assert code in {0, 3, 4, 5, 9}, (call, text)
        assert not python_value(text), (call, text)
        for line in text.splitlines():
            is_path = max(map(len, line.split()), default=0) > 60  # which a terminal breaks, and copies whole
            assert len(line) <= 80 or (is_path and len(line.split()) <= 3), (call, line)
