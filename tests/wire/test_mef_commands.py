"""An MEF steers an Enrolee over real sockets: every class, every way to fail, nothing twice."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from maf_support import A, client_of, running_maf
from mef_support import DEVICE, MEF, PATIENT, Device, running_mef
from onem2m_security.clients.command_classes import (
    certificate_provisioning,
    device_configuration,
    mo_node,
    subject_of,
)
from onem2m_security.clients.commanded import LEAST_REST, CommandedEnrolee
from onem2m_security.clients.commands import Carry, CommandClient
from onem2m_security.clients.enrolee import RETRY_INTERVAL, Enrolee
from onem2m_security.clients.registration import RegistrationClient
from onem2m_security.errors import ConfigurationError, PeerRefusedError, ResolverUnavailableError
from onem2m_security.identifiers import EntityId, Fqdn, Suid
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.link import Link
from onem2m_security.net.ports import request_client
from onem2m_security.onem2m.commands import (
    CertificateProvisioning,
    CertProvProtocol,
    CertSubjectType,
    CommandArguments,
    CommandClass,
    CommandDescription,
    CommandStatus,
    DeviceConfiguration,
    DeviceConfigUri,
    DevMgmt,
    ManagedObjectNode,
    NoMoreCommands,
    ObjectType,
    ServerUri,
)
from onem2m_security.onem2m.primitives import Operation, Rsc
from onem2m_security.onem2m.resources import MafBase, MefBase
from onem2m_security.release import Release
from onem2m_security.servers.commands import DEFAULT_RETRY, Steering
from onem2m_security.store import KeyKind, Store
from onem2m_security.store.records import CarriedOut
from test_client_registration import in_days

OTHER_DEVICE = Device("other")
S = CommandStatus
EST = ServerUri.parse("https://mef.example.com/.well-known/est")
OWN = subject_of(DEVICE.entity)
CERT_PROV = CertificateProvisioning(CertProvProtocol.EST, EST, *OWN)
DEV_CFG = DeviceConfiguration(DeviceConfigUri.parse("3:coaps://mef.example.com:5684"))
PROFILE = ManagedObjectNode.of("./profile", ObjectType.AUTHENTICATION_PROFILE, Suid.PROVISIONED_MAF)


@dataclass
class Node:
    """An MO node of a device's own device management."""

    object_type: ObjectType
    suid: Suid | None = None
    failure: Exception | None = None
    processed: int = 0

    async def process(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.processed += 1


class Works:
    """What a device can do, and what it did."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.done: list[Any] = []
        self.nodes = {
            "./profile": Node(ObjectType.AUTHENTICATION_PROFILE, Suid.PROVISIONED_MAF),
            "./anchor": Node(ObjectType.TRUST_ANCHOR_CRED),
            "./inconsistent": Node(ObjectType.TRUST_ANCHOR_CRED, failure=ConfigurationError("no parent")),
            "./failing": Node(ObjectType.TRUST_ANCHOR_CRED, failure=ResolverUnavailableError("no host")),
        }

    async def do(self, what: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.done.append(what)

    async def find(self, path: str) -> Node | None:
        return self.nodes.get(path)

    @property
    def carry(self) -> Mapping[CommandClass, Carry]:
        return {
            CommandClass.CERT_PROV: certificate_provisioning(
                MEF, frozenset({OWN}), {CertProvProtocol.EST: self.do}
            ),
            CommandClass.DEV_CFG: device_configuration(MEF, {DevMgmt.OMA_LWM2M: self.do}),
            CommandClass.MO_NODE: mo_node(self.find),
        }


@contextlib.asynccontextmanager
async def commanded(data, address: Address, carry, transport=Transport.TLS, release=Release.R3):
    """An Enrolee with a store of its own that obeys the MEF there."""
    async with await Store.open(data) as store:
        enrolee = await Enrolee.configure(
            store,
            kpm_id=DEVICE.kpm_id,
            kpm=DEVICE.kpm,
            instruction=Device("device", release=release).instruction,
            link=Link(address, transport, PATIENT),
        )
        yield CommandedEnrolee(enrolee, carry), enrolee, store


@contextlib.asynccontextmanager
async def asking(address: Address, device: Device = DEVICE, transport=Transport.TLS):
    """A registered device that speaks by hand: its request client and where its commands are."""
    client = request_client(Link(address, transport, PATIENT), device.initiator)
    try:
        registered = await RegistrationClient(client, device.mef, at_maf=False).register(
            expires=in_days(1), admin=device.mef
        )
        yield client, registered.commands
    finally:
        await client.close()


async def give(mef, *commands: CommandArguments, device: Device = DEVICE) -> list[str]:
    given = [CommandDescription.of(one, device.entity) for one in commands]
    return [(await mef.store.commands.add(device.entity, one)).command_id for one in given]


async def outcomes(mef) -> list[CommandStatus | None]:
    return [one.status async for page in mef.store.commands.pages() for one in page]


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("release", Release)
async def test_an_enrolee_carries_out_every_class_in_order_and_the_mef_hears_of_it(
    tmp_path, transport, release
):
    works = Works()
    async with running_mef(tmp_path / "mef") as mef:
        await give(mef, CERT_PROV, DEV_CFG, PROFILE)
        async with commanded(tmp_path / "own", mef.address, works.carry, transport, release) as (obeys, *_):
            assert await obeys.obey() == DEFAULT_RETRY
            assert works.done == [CERT_PROV, DEV_CFG.server]
            assert works.nodes["./profile"].processed == 1
            assert await outcomes(mef) == [S.OK, S.OK, S.OK]
            assert await obeys.obey() == DEFAULT_RETRY
            assert len(works.done) == 2, "nothing twice"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (CertificateProvisioning(CertProvProtocol.SCEP, EST, *OWN), S.UNACCEPTABLE_ARGUMENTS),
        (
            CertificateProvisioning(CertProvProtocol.EST, ServerUri.parse("https://evil.example/"), *OWN),
            S.UNACCEPTABLE_ARGUMENTS,
        ),
        (
            CertificateProvisioning(CertProvProtocol.EST, EST, OWN[0], "//sp.example/in-cse/Cvictim"),
            S.UNACCEPTABLE_ARGUMENTS,
        ),
        (
            CertificateProvisioning(CertProvProtocol.EST, EST, CertSubjectType.CSE_ID, OWN[1]),
            S.UNACCEPTABLE_ARGUMENTS,
        ),
        (
            CertificateProvisioning(CertProvProtocol.EST, EST, CertSubjectType.AE_ID, "no AE-ID"),
            S.UNACCEPTABLE_ARGUMENTS,
        ),
        (
            DeviceConfiguration(DeviceConfigUri.parse("4:https://mef.example.com/")),
            S.UNACCEPTABLE_ARGUMENTS,
        ),
        (DeviceConfiguration(DeviceConfigUri.parse("3:coaps://evil.example/")), S.UNACCEPTABLE_ARGUMENTS),
        (ManagedObjectNode.of("./none", ObjectType.TRUST_ANCHOR_CRED), S.MO_NODE_NOT_FOUND),
        (ManagedObjectNode.of("./anchor", ObjectType.MAF_CLIENT_REG_CFG), S.MO_NODE_TYPE_CONFLICT),
        (ManagedObjectNode("./profile", ObjectType.AUTHENTICATION_PROFILE), S.MO_NODE_BAD_ARGS),
        (
            ManagedObjectNode.of("./profile", ObjectType.AUTHENTICATION_PROFILE, Suid.PROVISIONED_SAEF),
            S.MO_NODE_UNACCEPTABLE_ARGS,
        ),
        (ManagedObjectNode.of("./inconsistent", ObjectType.TRUST_ANCHOR_CRED), S.MO_NODE_INCONSISTENT_CONFIG),
        (ManagedObjectNode.of("./failing", ObjectType.TRUST_ANCHOR_CRED), S.MO_NODE_EXECUTION_ERROR),
    ],
)
async def test_what_an_enrolee_does_not_do_has_the_status_that_says_why(tmp_path, command, status):
    works = Works()
    async with running_mef(tmp_path / "mef") as mef:
        await give(mef, command, DEV_CFG)
        async with commanded(tmp_path / "own", mef.address, works.carry) as (obeys, *_):
            await obeys.obey()
            assert await outcomes(mef) == [status, S.OK]
    assert works.done == [DEV_CFG.server], "the next command is not held up"


@pytest.mark.parametrize(
    ("failure", "statuses"),
    [
        (ResolverUnavailableError("no host"), [S.CERT_PROV_SERVER_ERROR, S.DEV_CFG_SERVER_ERROR]),
        (PeerRefusedError("no", rsc=4103), [S.CERT_PROV_SERVER_ERROR, S.DEV_CFG_SERVER_ERROR]),
        (OSError("no route"), [S.CERT_PROV_SERVER_ERROR, S.DEV_CFG_SERVER_ERROR]),
        (ConfigurationError("no key"), [S.CERT_PROV_CLIENT_ERROR, S.DEV_CFG_CLIENT_ERROR]),
        (ZeroDivisionError(), [S.CERT_PROV_CLIENT_ERROR, S.DEV_CFG_CLIENT_ERROR]),
    ],
)
async def test_a_command_that_fails_is_said_to_have_failed_on_this_side_or_the_other(
    tmp_path, failure, statuses
):
    async with running_mef(tmp_path / "mef") as mef:
        await give(mef, CERT_PROV, DEV_CFG)
        async with commanded(tmp_path / "own", mef.address, Works(failure).carry) as (obeys, *_):
            await obeys.obey()
            assert await outcomes(mef) == statuses


@pytest.mark.parametrize(
    ("described", "supplies", "status"),
    [
        (CommandDescription.of(DEV_CFG), False, S.CLASS_NOT_SUPPORTED),
        (CommandDescription(99, {"of a newer release": {}}), True, S.CLASS_NOT_SUPPORTED),
        (CommandDescription(1, {"cpca": {"cpp": 1}}), True, S.BAD_ARGUMENTS),
        (CommandDescription(2, {}), True, S.BAD_ARGUMENTS),
        (CommandDescription.of(DEV_CFG, EntityId("//sp.example/in-cse/Cx")), True, S.UNACCEPTABLE_ARGUMENTS),
        (CommandDescription.of(DEV_CFG), True, S.OK),
    ],
)
async def test_what_nobody_supplied_or_can_read_or_is_for_somebody_else_is_answered_so(
    tmp_path, described, supplies, status
):
    works = Works()
    async with running_mef(tmp_path / "mef") as mef:
        await mef.store.commands.add(DEVICE.entity, described)
        async with commanded(tmp_path / "own", mef.address, works.carry if supplies else {}) as (obeys, *_):
            await obeys.obey()
            assert await outcomes(mef) == [status]
    assert len(works.done) == (status is S.OK)


async def test_what_was_carried_out_before_a_failure_is_reported_and_not_done_again(tmp_path):
    """The device did it and died, or its report was lost; and the MEF was restarted as well."""
    works = Works()
    async with running_mef(tmp_path / "mef") as mef:
        [command_id] = await give(mef, CERT_PROV)
        async with asking(mef.address) as (client, path):
            assert (await CommandClient(client, path).retrieve()).cmd_status is S.ISSUED
    async with (
        running_mef(tmp_path / "mef") as mef,
        commanded(tmp_path / "own", mef.address, works.carry) as (obeys, enrolee, _),
    ):
        last = CommandStatus.CERT_PROV_CLIENT_ERROR
        await enrolee.last_command.put(CarriedOut(MEF, command_id, last))
        await obeys.obey()
        [[command]] = [page async for page in mef.store.commands.pages()]
        assert [status for status, _ in command.history] == [S.ISSUED, S.REISSUED, last]
    assert works.done == []


async def test_a_device_does_again_what_it_does_not_remember(tmp_path):
    works = Works()
    async with running_mef(tmp_path / "mef") as mef:
        await give(mef, CERT_PROV)
        async with asking(mef.address) as (client, path):
            await CommandClient(client, path).retrieve()
        async with commanded(tmp_path / "own", mef.address, works.carry) as (obeys, *_):
            await obeys.obey()
        assert await outcomes(mef) == [S.OK]
    assert works.done == [CERT_PROV]


async def test_after_an_exchange_enrolee_and_mef_have_the_same_ke_even_if_the_connection_was_lost(tmp_path):
    async with (
        running_mef(tmp_path / "mef") as mef,
        commanded(tmp_path / "own", mef.address, {}) as (obeys, enrolee, store),
    ):
        await obeys.obey()
        async with enrolee.exchange() as exchange:
            first = exchange.key.ke_id
            assert [record.key_id for record in await store.records(KeyKind.KE)] == [first]
            assert (await enrolee.enrolment_key()).ke_id == first, "others are not held up"
            await exchange.client.close()
            await CommandClient(exchange.client, exchange.registered.commands).retrieve()
        [kept] = await store.records(KeyKind.KE)
        assert kept.key_id != first
        newest = max(await mef.store.records(KeyKind.KE), key=lambda record: record.issued)
        assert (kept.key_id, kept.key) == (newest.key_id, newest.key)


async def test_an_enrolee_asks_again_when_it_was_told_to_and_sooner_after_a_failure(tmp_path):
    rests: list[float] = []

    class EnoughError(Exception):
        """The test has seen what it wanted."""

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 1:
            await mef.store.remove(KeyKind.KPM, DEVICE.kpm_id)
        else:
            raise EnoughError

    async with (
        running_mef(tmp_path / "mef", steering=Steering(retry=timedelta(seconds=1))) as mef,
        commanded(tmp_path / "own", mef.address, {}) as (obeys, *_),
    ):
        with pytest.raises(EnoughError):
            await obeys.keep_obeying(rest=rest)
    assert rests == [LEAST_REST.total_seconds(), RETRY_INTERVAL.total_seconds()]


# --- by hand ---


@pytest.mark.parametrize("transport", Transport)
async def test_a_registration_announces_its_commands_and_without_any_says_when_to_ask_again(
    tmp_path, transport
):
    retry = timedelta(hours=7)
    async with (
        running_mef(tmp_path, steering=Steering(retry=retry)) as mef,
        asking(mef.address, transport=transport) as (client, path),
    ):
        assert path[-1] == "mefClientCmd"
        command = await CommandClient(client, path).retrieve()
        assert command.cmd_status is S.ISSUED
        assert command.cmd_description == CommandDescription.of(NoMoreCommands(retry), DEVICE.entity)
        registration = RegistrationClient(client, MEF, at_maf=False)
        assert (await registration.retrieve(path[-2])).commands == path


@pytest.mark.parametrize("transport", Transport)
async def test_a_report_is_taken_once_and_may_be_repeated(tmp_path, transport):
    async with (
        running_mef(tmp_path) as mef,
        asking(mef.address, transport=transport) as (client, path),
    ):
        first, second = await give(mef, CERT_PROV, DEV_CFG)
        commands = CommandClient(client, path)
        assert (await commands.retrieve()).cmd_id == first
        told = await commands.report(first, S.OK)
        assert (told.cmd_id, told.cmd_status) == (second, S.ISSUED)
        again = await commands.report(first, S.OK)
        assert (again.cmd_id, again.cmd_status) == (second, S.REISSUED)
        await commands.report(first, S.CERT_PROV_CLIENT_ERROR)  # too late
        assert await outcomes(mef) == [S.OK, S.REISSUED]


async def test_a_report_of_no_command_of_ones_own_is_passed_over(tmp_path):
    async with (
        running_mef(tmp_path, devices=[DEVICE, OTHER_DEVICE]) as mef,
        asking(mef.address) as (client, path),
        asking(mef.address, OTHER_DEVICE) as (others_client, others_path),
    ):
        [mine] = await give(mef, CERT_PROV)
        [others, queued] = await give(mef, CERT_PROV, CERT_PROV, device=OTHER_DEVICE)
        await CommandClient(others_client, others_path).retrieve()
        commands = CommandClient(client, path)
        for command_id in ("0" * 32, "a\0b", "\u2603", others, queued):
            assert (await commands.report(command_id, S.OK)).cmd_id == mine
        await CommandClient(others_client, others_path).report(queued, S.OK)  # not issued yet
        assert await outcomes(mef) == [S.REISSUED, S.REISSUED, None]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"cmid": "CMD"},
        {"cmst": 20},
        {"cmid": "CMD", "cmst": 10},
        {"cmid": "CMD", "cmst": 11},
        {"cmid": "CMD", "cmst": 21},
        {"cmid": "CMD", "cmst": 201},
        {"cmid": "CMD", "cmst": 300},
        {"cmid": "CMD", "cmst": True},
        {"cmid": "CMD", "cmst": "20"},
        {"cmid": "0" * 32, "cmst": 10},
        {"cmid": "", "cmst": 20},
        {"cmid": "x" * 256, "cmst": 20},
        {"cmid": ["CMD"], "cmst": 20},
        {"cmid": "CMD", "cmst": 20, "cmde": {"ccid": 0, "carg": {}}},
        {"cmid": "CMD", "cmst": 20, "x": 1},
    ],
)
async def test_a_report_that_is_none_is_refused_and_nothing_changes(tmp_path, body):
    async with running_mef(tmp_path) as mef, asking(mef.address) as (client, path):
        [command_id] = await give(mef, CERT_PROV)
        await CommandClient(client, path).retrieve()
        body = {name: command_id if value == "CMD" else value for name, value in body.items()}
        answer = await client.request(Operation.UPDATE, path, content={"sec:mefcc": body})
        assert answer.rsc is Rsc.BAD_REQUEST
        assert await outcomes(mef) == [S.ISSUED]


async def test_what_is_not_ones_own_or_not_there_is_answered_alike(tmp_path):
    async with (
        running_mef(tmp_path, devices=[DEVICE, OTHER_DEVICE]) as mef,
        asking(mef.address) as (_, path),
        asking(mef.address, OTHER_DEVICE) as (client, own),
    ):
        await give(mef, CERT_PROV)
        told = set()
        for where in (path, (*path[:-2], "0" * 32, path[-1]), (*path[:-2], "a\0b", path[-1])):
            for attempt in (
                CommandClient(client, where).retrieve(),
                CommandClient(client, where).report("x", S.OK),
            ):
                with pytest.raises(PeerRefusedError) as caught:
                    await attempt
                told.add((caught.value.rsc, str(caught.value)))
        assert len(told) == 1
        assert await outcomes(mef) == [None], "nobody else has it issued"
        with pytest.raises(PeerRefusedError, match="NOT_FOUND"):
            await CommandClient(client, (*own[:-1], "other")).retrieve()
        for operation in (Operation.CREATE, Operation.DELETE):
            answer = await client.request(operation, own, content={}, resource_type=65004)
            assert answer.rsc is Rsc.OPERATION_NOT_ALLOWED
        await RegistrationClient(client, MEF, at_maf=False).deregister(own[-2])
        with pytest.raises(PeerRefusedError, match="NOT_FOUND"):
            await CommandClient(client, own).retrieve()


# --- the functions themselves ---


@pytest.mark.parametrize("transport", Transport)
async def test_every_client_may_retrieve_what_an_mef_is(tmp_path, transport):
    server = DeviceConfigUri.parse("3:coaps://dm.example.com")
    async with running_mef(tmp_path, steering=Steering(device_config=server)) as mef:
        client = request_client(Link(mef.address, transport, PATIENT), DEVICE.initiator)
        answer = await client.request(Operation.RETRIEVE, ("mef",))
        assert answer.rsc is Rsc.OK
        assert answer.content["sec:mefb"] == {
            "fq": "mef.example.com",
            "auri": "https://mef.example.com/mef",
            "dcu": "3:coaps://dm.example.com",
        }
        assert MefBase.decode_answer(answer.content) == MefBase.at(MEF, device_config_uri=server)
        refused = await client.request(Operation.UPDATE, ("mef",), content={"sec:mefb": {}})
        assert refused.rsc is Rsc.OPERATION_NOT_ALLOWED
        await client.close()


async def test_every_client_may_retrieve_what_a_maf_is(tmp_path):
    async with running_maf(tmp_path) as maf, client_of(A, maf.address) as client:
        answer = await client.request(Operation.RETRIEVE, ("maf",))
        assert MafBase.decode_answer(answer.content) == MafBase.at(Fqdn("maf.example.com"))
