"""Devices one after the other, as they were named on the command line or in a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from iotonboard.errors import BusyError, IotOnboardError, KeyUnavailableError, StateError
from iotonboard.model import Refused
from iotonboard.store.devices import device_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from iotonboard.model import Target
    from iotonboard.state.state import State

AnswerT = TypeVar("AnswerT")


def for_each(targets: Iterable[Target | Refused], act: Callable[[str], AnswerT]) -> Iterator[AnswerT | Refused]:
    """Yield what ``act`` made of each device's id. A row of a list that is refused harms no other.

    Raises:
        IotOnboardError: of a device that was named on the command line.
        BusyError: the state is locked or the disk refuses.
        KeyUnavailableError: the CA key cannot be opened.
    """
    for target in targets:
        if isinstance(target, Refused):
            yield target
            continue
        try:
            yield act(target.device_id)
        except (BusyError, StateError, KeyUnavailableError):
            raise  # the state and not the device
        except IotOnboardError as error:
            if not target.line:
                raise
            yield Refused(target.device_id, target.line, error)


def known_devices(state: State, targets: Iterable[Target | Refused]) -> tuple[list[str], list[Refused]]:
    """The ids of the devices that are there, as they are spelled, each once; and the rows of a list that are refused.

    Raises:
        NotFoundError: a device that was named on the command line is not there.
    """
    ids: dict[str, None] = {}
    refused: list[Refused] = []
    for one in for_each(targets, lambda device_id: str(device_named(state.store, device_id).device_id)):
        if isinstance(one, Refused):
            refused.append(one)
        else:
            ids[one] = None
    return list(ids), refused
