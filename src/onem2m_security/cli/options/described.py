"""``--config``: a file that describes an entity, instead of options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import ConfigurationError
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...configuration.description import Description

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The configuration, in TOML, that says all this."),
]


def described(config: Path, *others: object) -> Description:
    """The entity that the file describes.

    Args:
        config: The file.
        others: What it says in the place of options: groups, and values that are None when not given.

    Raises:
        ConfigurationError: Some of these were given; or as for ``Description.read``.
    """
    # pydantic takes long to load: only who has such a file waits for it.
    from ...configuration.description import Description

    if any(_is_given(other) for other in others):
        raise ConfigurationError("--config says who we are, whom we meet and how: leave out the others")
    return Description.read(config)


def _is_given(value: object) -> bool:
    return not value.are_default if isinstance(value, OptionGroup) else value is not None
