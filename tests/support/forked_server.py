"""A server that is started and killed again and again while clients ask it."""

from __future__ import annotations

import re
from pathlib import Path

from forking import Forked
from maf_support import eventually
from onem2m_security.identifiers import Fqdn
from onem2m_security.net.address import Address


class ForkedServer:
    """``m2msec maf serve``, or that of another function, in a process of its own."""

    def __init__(self, function: str, fqdn: Fqdn, data: Path, output: Path) -> None:
        self._output = output
        arguments = [function, "serve", "--data", data, "--fqdn", fqdn, "--listen", "127.0.0.1:0"]
        with output.open("wb") as printed:
            self._process = Forked(list(map(str, arguments)), stdout=printed, stderr=printed)

    async def ready(self) -> Address:
        await eventually(
            lambda: "listening on" in self.output or self._process.poll() is not None, seconds=60
        )
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.output)
        assert found, self.output
        return Address("127.0.0.1", int(found.group(1)))

    @property
    def output(self) -> str:
        return self._output.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
