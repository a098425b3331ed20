"""Bytes and text as C99 source, shared by the formats that write C."""

from __future__ import annotations

_OCTETS_PER_LINE = 12
# ISO C99 5.2.4.1: a string literal may have 4095 characters; compilers warn beyond.
_MAX_LITERAL = 4095
_AS_IT_IS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .:_-")


def render_octets(data: bytes, indent: str = "") -> str:
    """Write octets as ``0x30, 0x82, ...`` in lines of twelve, without a comma at the end."""
    rows = [data[start : start + _OCTETS_PER_LINE] for start in range(0, len(data), _OCTETS_PER_LINE)]
    return ",\n".join(indent + ", ".join(f"0x{octet:02x}" for octet in row) for row in rows)


def render_text(text: bytes) -> str:
    """Write PEM text as an initialiser of a ``char`` array that ends in NUL.

    A string literal, one source line per line, while ISO C allows its length; an octet list above that.
    """
    if len(text) <= _MAX_LITERAL:
        return "\n".join(f'    "{line.decode("ascii")}\\n"' for line in text.splitlines())
    return "{\n" + render_octets(text + b"\0", "    ") + "\n}"


def c_text(text: str) -> str:
    """Write a short text between the quotes of a C string, in UTF-8: an adopted device's id may hold quotes."""
    return "".join(chr(octet) if octet in _AS_IT_IS else f"\\{octet:03o}" for octet in text.encode("utf-8"))
