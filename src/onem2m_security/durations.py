"""Durations as people write them, on the command line and in configuration files."""

from __future__ import annotations

from datetime import timedelta

from .errors import ConfigurationError


def parse_duration(text: str) -> timedelta:
    """Parse ``30s``, ``15m``, ``24h`` or ``7d``; a space before the unit does no harm.

    Raises:
        ConfigurationError: It is none of these.
    """
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    number, unit = text.strip()[:-1].rstrip(" "), text.strip()[-1:]
    if unit not in units or not number.isascii() or not number.isdigit() or not 0 < int(number) < 10**6:
        raise ConfigurationError(f"{text[:40]!r} is not a duration: 30s, 15m, 24h or 7d is expected")
    return timedelta(**{units[unit]: int(number)})


def show_duration(duration: timedelta) -> str:
    """A duration as people write it, in the largest unit that it is a whole number of: ``24h``, ``90s``.

    Of a fraction of a second only the whole part is shown.
    """
    seconds = int(duration.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0 and (unit != "d" or seconds > length):
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
