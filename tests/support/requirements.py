"""What some tests need of the machine beyond Python's packages, and the Debian packages that bring it.

A test asks with ``needs``. What is missing skips the test, and the end of the run says what was not tested
and how to get it; in CI it fails the test.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

_SKIPPED = "Skipped: needs "


def _command(name: str) -> str | None:
    return shutil.which(name)


def _header(name: str) -> str | None:
    """A C header that the compiler finds by itself."""
    compiler = needs("gcc")
    command = [compiler, "-fsyntax-only", "-x", "c", "-include", name, os.devnull]
    return name if subprocess.run(command, capture_output=True, check=False).returncode == 0 else None


def _library(name: str) -> str | None:
    """A shared library that the system finds by itself."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    return name


def _faketime(name: str) -> str | None:
    """The library that the command of this name preloads."""
    found = [
        *Path("/usr/lib").glob(f"*/{name}/libfaketime.so.1"),
        *Path("/usr/lib").glob(f"{name}/libfaketime.so.1"),
    ]
    return str(found[0]) if found else None


@dataclass(frozen=True)
class Requirement:
    """Something that a package of Debian brings.

    Attributes:
        package: The package.
        find: What it is called to what the test uses: a path, a header; None where it is missing.
    """

    package: str
    find: Callable[[str], str | None] = _command


REQUIREMENTS = {
    "openssl": Requirement("openssl"),
    "curl": Requirement("curl"),
    "coap-client-openssl": Requirement("libcoap3-bin"),
    "coap-client-gnutls": Requirement("libcoap3-bin"),
    "faketime": Requirement("faketime", _faketime),
    "mount": Requirement("mount"),
    "certtool": Requirement("gnutls-bin"),
    "libgnutls.so.30": Requirement("libgnutls30", _library),
    "gnutls-cli": Requirement("gnutls-bin"),
    "gnutls-serv": Requirement("gnutls-bin"),
    "botan": Requirement("botan"),
    "go": Requirement("golang-go"),
    "gcc": Requirement("gcc"),
    "stdio.h": Requirement("libc6-dev", _header),
    "gnutls/gnutls.h": Requirement("libgnutls28-dev", _header),
    "mbedtls/ssl.h": Requirement("libmbedtls-dev", _header),
    "wolfssl/ssl.h": Requirement("libwolfssl-dev", _header),
}


def needs(name: str) -> str:
    """What a test needs, of those in ``REQUIREMENTS``; a missing one ends the test.

    Returns:
        The path of a command or a library; the name of a header.
    """
    found = REQUIREMENTS[name].find(name)
    return found if found is not None else lacks(name)


def lacks(what: str) -> NoReturn:
    """End a test for what this machine does not have: it is skipped, but never in CI.

    Args:
        what: One of ``REQUIREMENTS``, or in words what no package brings.
    """
    if os.environ.get("CI"):
        pytest.fail(f"needs {what}, and in CI everything is tested")
    pytest.skip(f"needs {what}")


def untested(skipped: Iterable[pytest.TestReport]) -> Iterator[str]:
    """What to say of the tests that were skipped: a line for what packages bring and one for all else."""
    tests = Counter(report.longrepr[2].removeprefix(_SKIPPED) for report in skipped)
    missing = [what for what in REQUIREMENTS if what in tests]
    if missing:
        packages = dict.fromkeys(REQUIREMENTS[what].package for what in missing)
        yield (
            f"Not tested, {sum(tests[what] for what in missing)} in all: what needs {', '.join(missing)}. "
            f"To test it: apt-get install {' '.join(packages)}"
        )
    if others := sorted(tests.keys() - REQUIREMENTS.keys()):
        yield f"Not tested, {sum(tests[what] for what in others)} in all: what needs {', '.join(others)}"
