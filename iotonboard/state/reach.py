"""Which topics are whose: what the templates of a state give to its devices, and rules that reach beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.broker.topics import Others, parse_topic_rule
from iotonboard.store.devices import find_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.state.state import State


def others_of(state: State, templates: Sequence[str] | None = None) -> Others:
    """The devices of a state, and what the templates, by default those in force, give to each of them."""
    texts = state.config["acl.topics"] if templates is None else templates
    rules = tuple(parse_topic_rule(text, template=True) for text in texts)
    return Others(rules, lambda name: find_device(state.store, name) is not None)


def refuse_wide_templates(state: State, old: Sequence[str], new: Sequence[str]) -> None:
    """Refuse templates that are new and let a device at the topics of others, under the old ones or the new ones.

    Raises:
        PolicyError: names one.
    """
    added = [parse_topic_rule(text, template=True) for text in new if text not in old]
    for templates in (new, old):
        others_of(state, templates).refuse_reaching(added)
