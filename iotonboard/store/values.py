"""Values as their columns have them. A database holds whatever somebody wrote into it; records hold what can be."""

from __future__ import annotations


def octets(value: object) -> bytes:
    """A blob.

    Raises:
        TypeError: it is something else; as by the others here, the store tells it as a row that cannot be.
    """
    if not isinstance(value, bytes):
        raise TypeError(f"{_shown(value)} stands where octets belong")
    return value


def text(value: object) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TypeError(f"{_shown(value)} stands where a text belongs")
    return value


def number(value: object) -> int:
    """A whole number."""
    if not isinstance(value, int):
        raise TypeError(f"{_shown(value)} stands where a number belongs")
    return value


def optional_octets(value: object) -> bytes | None:
    """A blob, or nothing."""
    return None if value is None else octets(value)


def _shown(value: object) -> str:
    if value is None or isinstance(value, bytes):
        return "nothing" if value is None else f"a blob of {len(value)} octets"
    return repr(value)[:40]


def can_be_device_id(name: str) -> str:
    """SQL that says whether a text ``name`` can be a device's id: as ``DeviceId.adopted``, as far as SQL can."""
    rules = (
        f"length({name}) <= 64",
        f"{name} NOT GLOB '*[+#/%]*'",
        f"{name} NOT GLOB ('*[' || char(1) || '-' || char(31) || char(127) || ']*')",
        f"{name} NOT GLOB ' *'",
        f"{name} NOT GLOB '* '",
        f"{name} NOT GLOB '$*'",
    )
    return " AND ".join(rules)
