"""The ways to make a broker read its files again, as ``broker.reload`` and ``apply --reload`` name them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from iotonboard.errors import UsageError

_UNIT = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9@_.:\\-]*")  # systemd.unit(5); what begins with a hyphen would be an option
_HINT = "set it: iotonboard config set broker.reload pid:/run/mosquitto.pid (or systemd:UNIT, command:...)"


@dataclass(frozen=True, slots=True)
class Method:
    """How to reload: ``kind`` is pid, systemd or command."""

    kind: str
    target: str


def parse_method(text: str) -> Method:
    """Read ``pid:FILE``, ``systemd:UNIT`` or ``command:WORDS``.

    Raises:
        UsageError: nothing is configured, or not in that form.
    """
    kind, _, target = text.partition(":")
    if not text:
        raise UsageError("no way to reload the broker is configured", hint=_HINT)
    if kind not in {"pid", "systemd", "command"} or not target.strip():
        raise UsageError(f"{text!r} is not a way to reload a broker", hint=_HINT)
    if kind == "systemd" and not _UNIT.fullmatch(target):
        raise UsageError(f"{target!r} is not the name of a systemd unit", hint=_HINT)
    if re.search(r"[\x00-\x1f\x7f]", target):
        raise UsageError(f"{target!r} holds a control character", hint=_HINT)
    try:
        words = shlex.split(target if kind == "command" else "x")
    except ValueError as error:
        raise UsageError(f"{target!r} is not a command: {str(error).lower()}", hint=_HINT) from None
    if not words or not words[0] or words[0].startswith("-"):
        raise UsageError(f"{target!r} does not begin with a program", hint=_HINT)
    return Method(kind, target)
