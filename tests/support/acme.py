"""A CSE that this project did not write: the ACME CSE from PyPI, unchanged, on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from programs import PATIENCE, wait_until

CONFIGURATION = """\
[basic.config]
cseType={kind}
cseID={cse_id}
cseName={name}
serviceProviderID=//sp.example
adminID=CAdmin
networkInterface=127.0.0.1
cseHost=127.0.0.1
httpPort={port}
databaseType=memory
logLevel=debug

[coap]
enable={coap}
port={coap_port}
listenIF=127.0.0.1

{more}
[logging]
enableFileLogging=true
maxLogMessageLength=0
size=100000000
"""


REGISTRAR = """
[cse.registrar]
address=http://127.0.0.1:{port}
cseID=/in-cse
resourceName=cse-in
INCSEcseID=/in-cse
"""


class Cse:
    """A running ACME CSE; its resources are below ``cse-in``."""

    def __init__(
        self,
        directory: Path,
        cse_id: str = "id-in",
        *,
        coap: bool = False,
        registrar: int | None = None,
        more: str = "",
    ) -> None:
        """Start it.

        Args:
            directory: Its own.
            cse_id: Its CSE-ID.
            coap: Whether it has a port for CoAP too.
            registrar: As an MN-CSE, below ``cse-mn``: at which port it registers, with ``/in-cse``.
            more: Further sections of its configuration.
        """
        self.directory, self.name = directory, "cse-in" if registrar is None else "cse-mn"
        if registrar is not None:
            more += REGISTRAR.format(port=registrar)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind(("127.0.0.1", 0))
            self.coap_port = listener.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        (directory / "acme.ini").write_text(
            CONFIGURATION.format(
                kind="IN" if registrar is None else "MN",
                name=self.name,
                port=self.port,
                cse_id=cse_id,
                coap_port=self.coap_port,
                coap=coap,
                more=more,
            ),
            encoding="ascii",
        )
        command = [str(Path(sys.executable).with_name("acmecse")), "--config", "acme.ini", "-dir", "."]
        command += [
            "--headless",
            "--http",
            "--no-mqtt",
            "--no-ws",
            "--coap" if coap else "--no-coap",
            "--no-remote-cse" if registrar is None else "--remote-cse",
        ]
        with (directory / "out").open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_it_has_started()
        if coap:  # in a thread of its own, which comes later
            wait_until(self._has_its_coap_port, "the port for CoAP")

    def _has_its_coap_port(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            try:
                other.bind(("127.0.0.1", self.coap_port))
            except OSError:
                return True
        return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.name}"

    @property
    def log(self) -> str:
        """What it logged; at its debug level it logs every body that it forwards."""
        return "".join(
            path.read_text(encoding="utf-8", errors="replace")
            for path in sorted((self.directory / "logs").glob("*"))
        )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def _wait_until_it_has_started(self) -> None:
        """Its log tells. A request during its start would end it: its web server is still being set up."""

        def started() -> bool:
            assert self.process.poll() is None, self.log
            return "CSE started" in self.log

        wait_until(started, "the start of the CSE")
