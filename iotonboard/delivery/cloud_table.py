"""The clouds, the formats of their lists, and the ids that they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AWS: Final = "aws"
AZURE: Final = "azure"


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud: the format of its lists, and the ids that it takes, with what to say of another."""

    name: str
    title: str
    format_name: str
    about: str
    ids: str
    id_hint: str


CLOUDS: Final = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            AWS, "AWS IoT", "aws-bulk", "AWS IoT: a line of JSON per device, for its bulk registration",
            r"[A-Za-z0-9:_-]{1,128}", "its thing names have letters, digits, ':', '_' and '-', and no dot",
        ),
        Cloud(
            AZURE, "Azure IoT", "azure-import", "Azure IoT Hub: a line of JSON per device, for its import job",
            r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,126}[A-Za-z0-9-])?",
            "its registration ids have letters, digits, '-', '.', '_' and ':', and end in a letter, a digit or '-'",
        ),
    )
}  # fmt: skip
FORMATS: Final = {cloud.format_name: cloud for cloud in CLOUDS.values()}
