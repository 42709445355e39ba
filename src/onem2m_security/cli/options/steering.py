"""Options of an MEF: what it tells all its clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from ...defaults import COMMAND_RETRY
from ...durations import parse_duration
from ...errors import ConfigurationError, MessageError
from ...onem2m.commands import DeviceConfigUri
from ..common import parsed
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...servers.commands import Steering


def device_config_uri(text: str) -> DeviceConfigUri:
    """Parse a deviceConfigURI.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        return DeviceConfigUri.parse(text)
    except MessageError as error:
        raise ConfigurationError(str(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringOptions(OptionGroup):
    """What clients without commands do, and where devices are configured."""

    command_retry: Annotated[
        timedelta,
        parsed(
            parse_duration,
            "--command-retry",
            metavar="DURATION",
            help="After what time an Enrolee without commands asks for some again.",
        ),
    ] = COMMAND_RETRY
    device_config_uri: Annotated[
        DeviceConfigUri | None,
        parsed(
            device_config_uri,
            "--device-config-uri",
            metavar="N:URI",
            help="Where devices are configured (deviceConfigURI): 1 OMA DM 1.3, 2 OMA DM 2.0, 3 LwM2M, "
            "4 TR-069, and the server.",
        ),
    ] = None

    @property
    def steering(self) -> Steering:
        """The same as the MEF takes it."""
        from ...servers.commands import Steering

        return Steering(self.command_retry, self.device_config_uri)
