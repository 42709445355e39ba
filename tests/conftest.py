"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from programs import Programs

# A machine that is busy with other work makes an example slow, not wrong.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Starts real m2msec servers; whatever still runs at the end is ended."""
    started = Programs(tmp_path)
    yield started
    started.end_all()
