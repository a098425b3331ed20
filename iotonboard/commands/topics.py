"""``topics``: the topic rules that one device has beside the templates that all of them get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.topics import parse_topic_rule
from iotonboard.errors import NotFoundError
from iotonboard.ids import in_command
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished, reload_behind
from iotonboard.state.reach import others_of
from iotonboard.state.region_change import refuse_other_copy
from iotonboard.store.devices import device_named
from iotonboard.store.topics import add_topic, device_topics, remove_topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """A device's own rules as ``access:topic``, what all devices get, and whether anything changed."""

    device_id: str
    topics: tuple[str, ...]
    templates: tuple[str, ...]
    changed: bool = False


def list_topics(state: State, device_id: str, *, changed: bool = False) -> Result:
    """Show the rules of a device.

    Raises:
        NotFoundError: there is no such device.
    """
    rules = device_topics(state.store, device_named(state.store, device_id).device_id)
    own = tuple(f"{rule.access}:{rule.topic}" for rule in rules)
    return Result(device_id, own, state.config["acl.topics"], changed)


def reload_broker(state: State, reload: Reload) -> None:
    """Reload the broker behind all changes, where that was asked for.

    Raises:
        UnpublishedError: it was not reloaded; the changes stay.
    """
    reload_behind(state, reload)


def change_topics(state: State, device_id: str, texts: Sequence[str], *, remove: bool, reach: bool = False) -> Result:
    """Add or remove rules and publish the ACL; all of them or none. ``reach``: topics of other devices are meant.

    Raises:
        PolicyError: a rule that the ACL's grammar or the reach of one device does not allow.
        NotFoundError: no such device, or a rule that is to be removed is not there.
        ConflictError: another copy of the state is at work, and its ACL stays as it is.
    """
    rules = [parse_topic_rule(text) for text in texts]
    if not (remove or reach):
        others_of(state).refuse_reaching(rules, device_id)
    with state.transaction() as now:
        refuse_other_copy(state)
        device = device_named(state.store, device_id).device_id
        before = device_topics(state.store, device)
        for text, rule in zip(texts, rules, strict=True):
            if not remove:
                add_topic(state.store, device, rule)
            elif not remove_topic(state.store, device, rule):
                raise NotFoundError(
                    f"{device_id!r} has no topic {text!r}",
                    hint=f"'iotonboard topics list {in_command(device_id)}' shows them",
                )
        changed = before != device_topics(state.store, device)
        if changed:
            mark_acl(state)
            state.record(now, device_id, detail={"topics": {"remove" if remove else "add": list(texts)}})
    refuse_unpublished(publish(state, *EVERYTHING))
    return list_topics(state, device_id, changed=changed)
