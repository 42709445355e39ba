"""What ``pip install onem2m-security`` brings, with its extras or without; read from pyproject.toml."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from places import ROOT

OURS = "onem2m-security"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def asked_for(extra: str | None = None) -> list[Requirement]:
    """What pyproject.toml itself asks for; an extra that names another one has what that has."""
    texts = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    found = []
    for requirement in map(Requirement, texts):
        if canonicalize_name(requirement.name) == OURS:
            found += [one for name in sorted(requirement.extras) for one in asked_for(name)]
        else:
            found.append(requirement)
    return found


def distributions(asked: Iterable[Requirement]) -> set[str]:
    """The names of all that is installed for these, with what they ask for in turn."""
    waiting = [(canonicalize_name(one.name), extra) for one in asked for extra in ("", *one.extras)]
    done: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        for one in _requirements(name):
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(one.name), further) for further in ("", *one.extras)]
    return {name for name, _ in done}


def _requirements(name: str) -> Iterator[Requirement]:
    try:
        yield from map(Requirement, requires(name) or ())
    except PackageNotFoundError:  # for another platform, or optional in what asked for it
        return


@functools.cache
def owners() -> dict[str, set[str]]:
    """Top-level modules of this environment, with the names of what brought them."""
    return {
        module: {canonicalize_name(name) for name in names}
        for module, names in packages_distributions().items()
    }


def modules_of(names: set[str]) -> set[str]:
    """The top-level modules that these bring."""
    return {module for module, brought_by in owners().items() if brought_by & names}


def without_all_but(*extras: str) -> str:
    """The beginning of a program that runs as if these extras alone were installed, and no other library."""
    there = distributions([*asked_for(), *(one for extra in extras for one in asked_for(extra))])
    absent = {module for module in owners() if not module.startswith("_")} - modules_of(there)
    return f"import sys; sys.modules.update(dict.fromkeys({sorted(absent - {'onem2m_security'})}))\n"
