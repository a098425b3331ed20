"""Which texts Mosquitto takes for texts (``mosquitto_validate_utf8``; MQTT 5.0, section 1.5.4)."""

from __future__ import annotations


def is_malformed(text: str) -> bool:
    """Say whether a text has control characters, surrogates (octets that are no UTF-8) or what is no character."""
    return any(
        number < 0x20
        or 0x7F <= number <= 0x9F
        or 0xD800 <= number <= 0xDFFF
        or 0xFDD0 <= number <= 0xFDEF
        or number & 0xFFFE == 0xFFFE
        for number in map(ord, text)
    )
