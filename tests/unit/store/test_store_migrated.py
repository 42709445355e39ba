"""A database that an earlier release made is opened, migrated and read whole: its seals still match.

``data/store-0002`` is what that release wrote, as SQL, with its key ring.
"""

import itertools
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, select

from onem2m_security.clients.enrolee import Enrolee
from onem2m_security.credentials import Secret
from onem2m_security.errors import ConfigurationError
from onem2m_security.gba.aka import SequenceNumber
from onem2m_security.gba.context import BootstrappedContext
from onem2m_security.gba.keys import Impi, KeyChoice
from onem2m_security.gba.subscriber import AlgorithmSet, Guss, NafSettings, Subscriber
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from onem2m_security.release import Release
from onem2m_security.store import (
    Bootstrapping,
    ClientRegistration,
    KeyKind,
    KeyRecord,
    Store,
    Subscription,
)
from onem2m_security.store.records import BootstrapInstruction, ByCertificate, Enrolment
from onem2m_security.store.schema import client_registrations, gba_contexts, gba_subscribers, key_records
from store_support import postgres_server

WRITTEN = Path(__file__).parent / "data" / "store-0002"
FILLED = (key_records, client_registrations, gba_subscribers, gba_contexts)

ISSUED = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
END = datetime(2126, 1, 1, tzinfo=UTC)
CSE, AE = EntityId("//sp.example/cse"), EntityId("//sp.example/cse/Cae")
MAF, MEF, BSF, NAF = (Fqdn(f"{name}.example.com") for name in ("maf", "mef", "bsf", "naf"))
GUSS = Guss(
    (NafSettings(NAF, True, KeyChoice.KS_NAF, timedelta(hours=1)), NafSettings(BSF, False)),
    False,
    timedelta(minutes=90),
)
KE_OF_KM = KeyIdentifier(f"{2:032x}", MEF)
KM = KeyRecord(
    KeyKind.KM,
    KeyIdentifier(f"{1:032x}", MAF),
    Secret(bytes(range(32))),
    ISSUED,
    source=AE,
    targets=(CSE, AE),
    alias=KE_OF_KM,
    suid=Suid.PRE_PROVISIONED_MAF,
    expires=END,
    parent=KE_OF_KM,
    admin_fqdn=MEF,
    labels=("one", "zwei \u2603"),
)
KPSA = KeyRecord(KeyKind.KPSA, KeyIdentifier(f"{3:032x}", NAF), Secret(bytes(range(32, 64))), ISSUED)
REGISTRATIONS = (
    ClientRegistration("reg-1", AE, MAF, ISSUED, ("free",), expires=END, assigned_key_id=KM.key_id),
    ClientRegistration("reg-2", CSE, MAF, ISSUED),
)
MILENAGE = Subscriber(
    Impi("001010000000001@ims.example.com"),
    Secret(bytes(range(16))),
    Secret(bytes(range(16, 32))),
    amf=b"\x80\x00",
    sqn=SequenceNumber(0x1234567890),
)
TUAK = Subscriber(
    Impi("001010000000002@ims.example.com"),
    Secret(bytes(range(32))),
    Secret(bytes(range(32, 64))),
    barred=True,
    algorithm=AlgorithmSet.TUAK,
)
BOOTSTRAPPING = Bootstrapping(
    BootstrappedContext(
        KeyIdentifier.from_octets(bytes(range(16)), BSF),
        Secret(bytes(range(32))),
        Impi("001010000000003@ims.example.com"),
        ISSUED,
        END,
    ),
    GUSS,
    AE,
)
KPM_ID, KE_ID = (KeyIdentifier(f"{number:032x}", MEF) for number in (4, 5))
INSTRUCTION = BootstrapInstruction(AE, (EntityId(str(MAF)), CSE), timedelta(days=36500), Release.R1)
ENROLMENT = Enrolment(MEF, "192.0.2.7:5684", "dtls", INSTRUCTION, by=KPM_ID)
_names = itertools.count()


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as server:
        yield server


def migrate(connection, revision: str, how=command.upgrade) -> None:
    config = Config()
    config.set_main_option("script_location", "onem2m_security.store:migrations")
    config.attributes["connection"] = connection
    how(config, revision)


def copy_into_postgresql(database: Path, url: str) -> None:
    written = create_engine(f"sqlite:///{database}")
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with written.connect() as source, engine.begin() as target:
        migrate(target, "0002")
        for table in FILLED:
            target.execute(table.insert(), [row._asdict() for row in source.execute(select(table))])
        target.exec_driver_sql(
            "INSERT INTO sealing_state VALUES (%s, %s)",
            tuple(source.exec_driver_sql("SELECT * FROM sealing_state").one()),
        )
    written.dispose()
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request, tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "keyring").touch(mode=0o600)
    (data / "keyring").write_bytes((WRITTEN / "keyring").read_bytes())
    with sqlite3.connect(data / "store.db") as connection:
        connection.executescript((WRITTEN / "store.sql").read_text("utf-8"))
    connection.close()
    url = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        name = f"migrated{next(_names)}"
        server.run(f"CREATE DATABASE {name}")
        url = server.url(name)
        copy_into_postgresql(data / "store.db", url)
        (data / "store.db").unlink()
    async with await Store.open(data, url=url) as opened:
        yield opened


async def require_everything(store: Store) -> None:
    assert await store.find(KeyKind.KM, KM.key_id) == KM
    assert await store.find(KeyKind.KM, KE_OF_KM) == KM
    assert await store.records(KeyKind.KPSA) == [KPSA]
    for registration in REGISTRATIONS:
        assert await store.find_registration(registration.registration_id) == registration
    assert await store.subscribers.all() == [Subscription(MILENAGE, GUSS, AE), Subscription(TUAK)]
    assert await store.bootstrappings.find(BOOTSTRAPPING.context.b_tid) == BOOTSTRAPPING
    assert await store.enrolment.find() == ENROLMENT


async def test_every_record_of_an_earlier_release_opens_as_what_was_written(store):
    await require_everything(store)


async def test_every_record_of_an_earlier_release_survives_a_new_key_in_the_ring(store):
    # two registrations, two subscribers, one bootstrapping, one enrolment; Km, Kpsa, Kpm, Ke
    assert await store.rekey() == 10
    await require_everything(store)


async def test_an_enrolee_of_an_earlier_release_is_loaded_with_the_ke_that_it_had(store):
    enrolee = await Enrolee.load(store)
    assert (enrolee.local, enrolee.mef, enrolee.targets) == (AE, MEF, INSTRUCTION.targets)
    assert (await enrolee.enrolment_key()).ke_id == KE_ID


async def as_of(data: Path, revision: str, *records: KeyRecord) -> None:
    """A store of this revision, with these keys in it."""
    async with await Store.open(data) as store:
        await store.add_many(records)
    engine = create_engine(f"sqlite:///{data / 'store.db'}")
    with engine.begin() as connection:
        migrate(connection, revision, command.downgrade)
    engine.dispose()


def a_ke(number: int = 1, source: EntityId = AE, **changes) -> KeyRecord:
    given = {"targets": INSTRUCTION.targets, "expires": END, "labels": INSTRUCTION.labels} | changes
    return KeyRecord(
        KeyKind.KE, KeyIdentifier(f"{number:032x}", MEF), Secret.generate(), ISSUED, source=source, **given
    )


async def test_an_enrolee_by_certificate_of_an_earlier_release_goes_on_with_its_ke(tmp_path):
    ke = a_ke()
    await as_of(tmp_path, "0003", ke)
    async with await Store.open(tmp_path) as store:
        kept = Enrolment(MEF, None, None, INSTRUCTION, by=ByCertificate(END))
        assert await store.enrolment.find() == kept
        assert (await (await Enrolee.load(store)).enrolment_key()).ke == ke.key
        with pytest.raises(ConfigurationError, match="its certificate is not here"):
            await (await Enrolee.load(store)).enrol()


@pytest.mark.parametrize(
    "records",
    [
        (a_ke(1), a_ke(2, CSE)),
        (a_ke(parent=KPM_ID),),
        (
            a_ke(),
            KeyRecord(KeyKind.KPM, KPM_ID, Secret.generate(), ISSUED, source=AE, labels=INSTRUCTION.labels),
        ),
    ],
    ids=["two Enrolees", "a Ke that came of a Kpm", "a Kpm without the address of an MEF"],
)
async def test_the_store_of_an_mef_is_not_taken_for_that_of_an_enrolee(tmp_path, records):
    await as_of(tmp_path, "0003", *records)
    async with await Store.open(tmp_path) as store:
        assert await store.enrolment.find() is None


async def test_labels_are_read_once_and_never_again(tmp_path):
    async with await Store.open(tmp_path) as store:
        await store.add(a_ke())
    async with await Store.open(tmp_path) as store:
        assert await store.enrolment.find() is None


async def test_labels_are_not_read_again_by_a_later_migration(tmp_path):
    ke = a_ke()
    await as_of(tmp_path, "0004", ke)
    async with await Store.open(tmp_path) as store:
        assert await store.enrolment.find() is None
        assert await store.find(KeyKind.KE, ke.key_id) == ke
        assert [page async for page in store.commands.pages()] == []
