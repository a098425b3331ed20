"""Elements of HTML and SVG, nested as they are written; the serialiser escapes every text and attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

if TYPE_CHECKING:
    from collections.abc import Mapping


def element(tag: str, attributes: Mapping[str, object], *content: Element | str) -> Element:
    """Make an element that holds texts and elements in the order given."""
    made = Element(tag, {name: str(value) for name, value in attributes.items()})
    for part in content:
        if isinstance(part, Element):
            made.append(part)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + part
        else:
            made.text = (made.text or "") + part
    return made
