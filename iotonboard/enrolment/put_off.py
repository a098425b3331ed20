"""What of a stream could not be published yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import UnpublishedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iotonboard.errors import Unpublished


class PutOff:
    """What of a stream could not be published yet: told when it is new, and again when it was published meanwhile."""

    def __init__(self, tell: Callable[[UnpublishedError], object]) -> None:
        self._tell = tell
        self._told: set[tuple[str, str]] = set()

    def add(self, unpublished: Sequence[Unpublished]) -> None:
        """Tell what is new of some that could not be published."""
        if new := [one for one in unpublished if (one.what, one.path) not in self._told]:
            self._told.update((one.what, one.path) for one in new)
            self._tell(UnpublishedError(new))

    def set(self, unpublished: Sequence[Unpublished]) -> None:
        """The same, where these are all."""
        self._told.intersection_update((one.what, one.path) for one in unpublished)
        self.add(unpublished)
