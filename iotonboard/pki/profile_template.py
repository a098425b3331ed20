"""Templates of certificate profiles: texts with fields for the values of a device, and no code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from iotonboard.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_KNOWN_FIELD: Final = re.compile(r"device_id|uuid|attr\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def fields_of(template: str) -> list[str]:
    """The fields of a template: ``device_id``, ``uuid``, ``attr.NAME``."""
    return _FIELD.findall(template)


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with a value in each field, in one go: a value is no template."""
    return _FIELD.sub(lambda match: values[match[1]], template)


def read_template(key: str, text: str) -> str:
    """A template as a profile's key has it.

    Raises:
        ValueError: a field is not known, a brace stands alone, or there is no value.
    """
    for name in fields_of(text):
        if not _KNOWN_FIELD.fullmatch(name):
            raise ValueError(
                f"{key} has the field {{{name[:80]}}}; there are {{device_id}}, {{attr.NAME}} and {{uuid}}"
            )
    if re.search(r"[{}]", _FIELD.sub("", text)):
        raise ValueError(f"{key} has a brace without its other one: {quoted(text)}")
    if not text.strip():
        raise ValueError(f"{key} has an empty value")
    return text


def sample_of(template: str, value: str) -> str | None:
    """The template with one value in all of its fields; ``None`` where it begins with a field, or is nothing else.

    What begins so takes its form from the device.
    """
    return None if template.startswith("{") else _FIELD.sub(value, template)
