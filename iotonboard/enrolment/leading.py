"""Input before the key: what leads a call and is refused is answered before anybody is asked for a passphrase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from iotonboard.errors import BusyError, IotOnboardError, StateError
from iotonboard.model import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator


class Named(Protocol):
    """What names a device, and the line of the list where it does (0: not from a list)."""

    @property
    def device_id(self) -> str | None:
        """The name, as it was given."""

    @property
    def line(self) -> int:
        """The line."""


NamedT = TypeVar("NamedT", bound=Named)


def refused_ahead(
    requests: Iterator[NamedT | Refused],
    check: Callable[[NamedT], object],
    *,
    strict: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Refused, None, list[NamedT]]:
    """Yield what is refused up to the first request that is not, and return that one; nothing where all were refused.

    ``check`` raises what refuses a request, without the CA key. With ``strict`` the first refusal is the last; so it is
    when the call was ``stopped``.

    Raises:
        BusyError, StateError: the database and not the device.
        IotOnboardError: the requests broke off.
    """
    for request in requests:
        if isinstance(request, Refused):
            yield request
        else:
            try:
                check(request)
            except (BusyError, StateError):
                raise
            except IotOnboardError as error:
                yield Refused(request.device_id or "", request.line, error)
            else:
                return [request]
        if strict or stopped():
            return []
    return []
