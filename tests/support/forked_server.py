"""A server that is started again and again: many starts, but one import of everything."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from pathlib import Path

from maf_support import eventually
from onem2m_security.identifiers import Fqdn
from onem2m_security.net.address import Address

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["onem2m_security.cli"])


def m2msec(arguments: list[str], output: Path) -> None:
    """What the ``m2msec`` command does, with its output in a file."""
    from onem2m_security.cli import main

    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["m2msec", *arguments]
    main()


class ForkedServer:
    """``m2msec maf serve``, or that of another function, in a process of its own."""

    def __init__(self, function: str, fqdn: Fqdn, data: Path, output: Path) -> None:
        self._output = output
        arguments = [function, "serve", "--data", data, "--fqdn", fqdn, "--listen", "127.0.0.1:0"]
        self.process = FORKING.Process(target=m2msec, args=(list(map(str, arguments)), output), daemon=True)
        output.write_text("")
        self.process.start()

    async def ready(self) -> Address:
        await eventually(lambda: "listening on" in self.output or not self.process.is_alive(), seconds=60)
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.output)
        assert found, self.output
        return Address("127.0.0.1", int(found.group(1)))

    @property
    def output(self) -> str:
        return self._output.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
