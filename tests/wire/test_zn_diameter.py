"""Zn in the form of TS 29.109: messages, the BSF's end, the NAF's end, and a foreign Diameter stack."""

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
from diameter.message import Message
from diameter.message.avp import Avp
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication
from hypothesis import given, reject
from hypothesis import strategies as st

from gba_support import (
    AE,
    BSF,
    CSE,
    CSE_NAF,
    NAF,
    OTHER,
    Card,
    a_subscriber,
    gba_u_subscription,
    running_bsf,
)
from maf_support import LOOPBACK, key_of
from onem2m_security.clients.bsf_diameter import NafDiameterClient
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.diameter import messages as dm
from onem2m_security.diameter.messages import DiameterMessage
from onem2m_security.diameter.user_settings import UserSecuritySettings, Uss
from onem2m_security.errors import IdentifierError, MessageError, ResolverUnavailableError
from onem2m_security.frameworks import saef_gba, saef_psk
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.frameworks.steps import Authorities
from onem2m_security.gba.keys import KeyChoice, naf_id, ua_security_protocol
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.channel import open_channel
from onem2m_security.net.diameter import diameter_port
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.servers.zn_diameter import ZnDiameter

UA = ua_security_protocol(0x00AE)


@contextlib.asynccontextmanager
async def diameter_bsf(tmp_path, subscriptions=None):
    async with running_bsf(tmp_path / "data", subscriptions) as running:
        acceptor = running.bsf.acceptor
        port = diameter_port(
            Authorities({BSF: acceptor}, default=acceptor),
            lambda established: ZnDiameter(running.bsf, established),
            Limits(),
        )
        address = await port.start(LOOPBACK)
        try:
            yield running, address
        finally:
            await port.stop()


def client_of(naf, address, *, as_naf=None, limits=None):
    key = saef_psk.credential(naf.key_id, key_of(naf.name))
    return NafDiameterClient(
        BSF,
        Link(address, limits=limits),
        saef_gba.initiate_zn(naf.entity, BSF, key),
        naf=as_naf or naf.fqdns[0],
    )


def a_request(b_tid=None, **changes):
    b_tid = b_tid or KeyIdentifier.from_octets(bytes(16), BSF)
    given_ = {
        dm.SESSION_ID: "naf;1;2",
        dm.TRANSACTION_IDENTIFIER: b_tid.base64,
        dm.NAF_ID: naf_id(NAF, UA),
    } | changes.pop("avps", {})
    attributes = [(code, value) for code, value in given_.items() if value is not None]
    return DiameterMessage.request(
        changes.get("command", dm.BOOTSTRAPPING_INFO),
        changes.get("application", dm.APPLICATION_ZN),
        attributes,
    )


# --- messages ---


def test_numbers_are_those_of_the_standard_and_of_the_library():
    """TS 29.109 clause 6.3 and TS 29.230, as two independent dictionaries have them."""
    from diameter.message import constants

    names = {
        dm.GBA_USER_SEC_SETTINGS: "GBA_USERSECSETTINGS",
        dm.TRANSACTION_IDENTIFIER: "TRANSACTION_IDENTIFIER",
        dm.KEY_EXPIRY_TIME: "KEY_EXPIRYTIME",
        dm.ME_KEY_MATERIAL: "ME_KEY_MATERIAL",
        dm.UICC_KEY_MATERIAL: "UICC_KEY_MATERIAL",
        dm.GBA_U_AWARENESS_INDICATOR: "GBA_U_AWARENESS_INDICATOR",
        dm.BOOTSTRAP_INFO_CREATION_TIME: "BOOTSTRAPINFOCREATIONTIME",
        dm.GBA_TYPE: "GBA_TYPE",
    }
    for (code, vendor), name in names.items():
        assert (getattr(constants, f"AVP_TGPP_{name}"), vendor) == (code, 10415)
    assert dm.NAF_ID == (402, 10415)
    assert constants.APP_3GPP_ZN == dm.APPLICATION_ZN == 16777220


def test_a_request_is_laid_out_as_rfc_6733_says():
    message = DiameterMessage.request(dm.BOOTSTRAPPING_INFO, dm.APPLICATION_ZN, [(dm.NAF_ID, b"abc")])
    octets = message.octets()
    assert octets[:4] == b"\x01\x00\x00\x24"
    assert octets[4:8] == b"\xc0\x00\x01\x36"  # request, proxiable; 310
    assert octets[8:12] == b"\x01\x00\x00\x04"  # 16777220
    assert octets[20:] == b"\x00\x00\x01\x92" + b"\xc0\x00\x00\x0f" + b"\x00\x00\x28\xaf" + b"abc\x00"


TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1), TIMES)
def test_octets_numbers_and_times_come_back(octets, number, moment):
    moment = moment.replace(microsecond=0)
    message = DiameterMessage.request(
        310, 1, [(dm.ME_KEY_MATERIAL, octets), (dm.GBA_TYPE, number), (dm.KEY_EXPIRY_TIME, moment)]
    )
    read = DiameterMessage.parse(message.octets())
    assert read.octets_of(dm.ME_KEY_MATERIAL) == octets
    assert read.number_of(dm.GBA_TYPE) == number
    assert read.time_of(dm.KEY_EXPIRY_TIME) == moment
    assert (read.command, read.application, read.is_request) == (310, 1, True)
    assert (read.hop_by_hop, read.end_to_end) == (message.hop_by_hop, message.end_to_end)


@given(st.binary(max_size=120), st.integers(0, 200), st.integers(0, 255))
def test_no_octets_whatever_bring_another_exception(noise, at, octet):
    message = bytearray(a_request().octets())
    message[at % len(message)] = octet
    for octets in (noise, bytes(message), bytes(message[:-4]), b"\x01\0\0" + bytes([len(noise) + 4]) + noise):
        try:
            read = DiameterMessage.parse(octets)
            read.optional(dm.NAF_ID)
            _ = read.result
        except MessageError:
            pass


def test_an_address_that_is_too_short_is_refused_like_any_other_noise():
    short = DiameterMessage.request(12345, 0, [(dm.HOST_IP_ADDRESS, b"\0")])
    with pytest.raises(MessageError):
        DiameterMessage.parse(short.octets())


@given(st.text(alphabet="abc/<&>\"'-_~.é", min_size=1, max_size=30))
def test_an_entity_survives_the_settings(text):
    try:
        entity = EntityId.parse(f"/{text}")
    except IdentifierError:
        reject()
    told = UserSecuritySettings((Uss.of(entity),)).encode_uss_list()
    assert UserSecuritySettings.decode(told).entity == entity


def test_settings_of_another_operator_are_read_for_the_first_uid_that_is_an_entity():
    text = (
        b'<guss xmlns="x"><ussList><uss id="4" type="4"><uids><uid>tel:+1</uid>'
        b"<uid>//sp.example/in-cse/Cmeter</uid></uids></uss></ussList></guss>"
    )
    assert UserSecuritySettings.decode(text).entity == AE
    assert UserSecuritySettings.decode(b"<ussList/>").entity is None
    for hostile in (b"", b"x" * 9000, b'<!DOCTYPE a [<!ENTITY b "c">]><ussList>&b;</ussList>'):
        with pytest.raises(MessageError):
            UserSecuritySettings.decode(hostile)


# --- both ends ---


async def test_a_naf_gets_the_key_that_the_ue_derives_over_diameter(tmp_path):
    async with diameter_bsf(tmp_path) as (bsf, address):
        context = await bsf.ue().bootstrap()
        client = client_of(CSE_NAF, address)
        found = await client.fetch(context.b_tid, UA)
        assert found.key == context.naf_key(NAF, UA)
        assert found.entity == AE
        assert found.expires == context.expires
        assert abs(found.issued - context.issued) < timedelta(minutes=1)
        many = await asyncio.gather(*(client.fetch(context.b_tid, UA) for _ in range(30)))
        assert {item.key for item in many} == {found.key}
        await client.close()


async def test_refusals_are_those_of_the_other_form(tmp_path):
    async with diameter_bsf(tmp_path) as (bsf, address):
        context = await bsf.ue().bootstrap()
        for naf, as_naf, b_tid in (
            (OTHER, NAF, context.b_tid),
            (OTHER, None, context.b_tid),
            (CSE_NAF, None, KeyIdentifier.from_octets(bytes(16), BSF)),
        ):
            client = client_of(naf, address, as_naf=as_naf)
            assert await client.fetch(b_tid, UA) is None
            await client.close()


async def test_ks_int_naf_is_the_key_material_of_the_uicc(tmp_path):
    subscription = gba_u_subscription(KeyChoice.KS_INT_NAF)
    async with diameter_bsf(tmp_path, [subscription]) as (bsf, address):
        context = await bsf.ue(Card(a_subscriber(), gba_u=True)).bootstrap()
        client = client_of(CSE_NAF, address)
        found = await client.fetch(context.b_tid, UA)
        assert (found.choice, found.key) == (
            KeyChoice.KS_INT_NAF,
            context.naf_key(NAF, UA, KeyChoice.KS_INT_NAF),
        )
        await client.close()


async def test_entity_b_asks_over_diameter_in_the_middle_of_a_handshake(tmp_path):
    async with diameter_bsf(tmp_path) as (bsf, address):
        context = await bsf.ue().bootstrap()

        async def echo(channel):
            await channel.write(await channel.read())

        async with EntityB(CSE, bsfs=[client_of(CSE_NAF, address)]) as entity_b:
            bound = await entity_b.listen(LOOPBACK, echo)
            async with await open_channel(Link(bound), saef_gba.initiate(AE, CSE, context)) as channel:
                await channel.write(b"hello")
                assert await channel.read() == b"hello"


async def test_a_connection_that_was_lost_is_made_again(tmp_path):
    async with diameter_bsf(tmp_path) as (bsf, address):
        context = await bsf.ue().bootstrap()
        client = client_of(CSE_NAF, address)
        await client.fetch(context.b_tid, UA)
        await client._client._channel.close()
        assert await client.fetch(context.b_tid, UA) is not None
        await client.close()


async def test_a_connection_whose_hello_was_not_answered_is_used_no_more(tmp_path):
    class Silent:
        is_over = False

        async def answer(self, octets):
            return None

    async with diameter_bsf(tmp_path) as (bsf, _):
        peers = [Silent()]
        port = diameter_port(
            Authorities({BSF: bsf.bsf.acceptor}, default=bsf.bsf.acceptor),
            lambda established: peers.pop() if peers else ZnDiameter(bsf.bsf, established),
            Limits(),
        )
        context = await bsf.ue().bootstrap()
        client = client_of(CSE_NAF, await port.start(LOOPBACK), limits=Limits(request_seconds=2))
        with pytest.raises(ResolverUnavailableError, match="no answer in time"):
            await client.fetch(context.b_tid, UA)
        assert await client.fetch(context.b_tid, UA) is not None
        await client.close()
        await port.stop()


async def test_a_wrong_key_and_a_bsf_that_is_not_there_are_unavailable(tmp_path):
    async with diameter_bsf(tmp_path) as (_, address):
        wrong = NafDiameterClient(
            BSF,
            Link(address),
            saef_gba.initiate_zn(CSE, BSF, saef_psk.credential(CSE_NAF.key_id, key_of("another"))),
            naf=NAF,
        )
        with pytest.raises(ResolverUnavailableError):
            await wrong.fetch(KeyIdentifier.from_octets(bytes(16), BSF), UA)
        await wrong.close()
    gone = client_of(CSE_NAF, address, limits=Limits(request_seconds=2))
    with pytest.raises(ResolverUnavailableError):
        await gone.fetch(KeyIdentifier.from_octets(bytes(16), BSF), UA)


async def exchange(address, *messages):
    """Send messages over one connection and read an answer to each; fewer when the BSF closes it."""
    initiator = initiate(
        CSE, EntityId(str(BSF)), saef_psk.credential(CSE_NAF.key_id, key_of("cse")), server_name=BSF
    )
    answers = []
    async with await open_channel(Link(address), initiator) as channel:
        for message in messages:
            octets = b""
            with contextlib.suppress(ConnectionError):
                await channel.write(message if isinstance(message, bytes) else message.octets())
                octets = await channel.read()
            if not octets:
                break
            answers.append(DiameterMessage.parse(octets))
    return answers


HELLO = DiameterMessage.request(
    dm.CAPABILITIES_EXCHANGE, 0, dm.capabilities(Fqdn("naf.sp.example"), dm.APPLICATION_ZN)
)


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        (a_request(), dm.TRANSACTION_IDENTIFIER_INVALID),
        (a_request(avps={dm.TRANSACTION_IDENTIFIER: None}), dm.MISSING_AVP),
        (a_request(avps={dm.NAF_ID: None}), dm.MISSING_AVP),
        (a_request(avps={dm.TRANSACTION_IDENTIFIER: "no b-tid"}), dm.INVALID_AVP_VALUE),
        (a_request(avps={dm.NAF_ID: b"abc"}), dm.INVALID_AVP_VALUE),
        (a_request(avps={dm.NAF_ID: b"\xff" * 20}), dm.INVALID_AVP_VALUE),
        (a_request(avps={dm.NAF_ID: naf_id(OTHER.fqdns[0], UA)}), dm.NOT_AUTHORIZED),
        (a_request(application=4), dm.APPLICATION_UNSUPPORTED),
        (a_request(command=311), dm.COMMAND_UNSUPPORTED),
        (DiameterMessage.request(dm.DEVICE_WATCHDOG, 0, []), dm.SUCCESS),
    ],
)
async def test_every_request_gets_its_result(tmp_path, request_, result):
    async with diameter_bsf(tmp_path) as (_, address):
        hello, answer = await exchange(address, HELLO, request_)
        assert hello.result == dm.SUCCESS
        assert answer.result == result
        assert answer.octets_of(dm.ORIGIN_HOST) == str(BSF).encode()
        assert answer.is_error is (3000 <= result < 4000)
        assert (answer.hop_by_hop, answer.end_to_end) == (request_.hop_by_hop, request_.end_to_end)


@pytest.mark.parametrize(
    "octets", [b"GET / HTTP/1.1\r\n\r\n", b"\x01\xff\xff\xfc" * 5, b"\x01\x00\x00\x10" * 5]
)
async def test_what_is_no_diameter_closes_the_connection_and_the_next_is_served(tmp_path, octets):
    async with diameter_bsf(tmp_path) as (_, address):
        assert not await exchange(address, octets)
        assert await exchange(address, HELLO)


async def test_nothing_comes_before_the_capabilities_exchange_nor_after_the_disconnect(tmp_path):
    async with diameter_bsf(tmp_path) as (_, address):
        assert not await exchange(address, a_request())
        leave = DiameterMessage.request(dm.DISCONNECT_PEER, 0, [(dm.DISCONNECT_CAUSE, 0)])
        assert len(await exchange(address, HELLO, leave, a_request())) == 2


# --- a foreign Diameter stack ---


@contextlib.asynccontextmanager
async def tls_in_front_of(address):
    """What an operator's gateway does: plain Diameter in, TLS out."""

    async def forward(reader, writer):
        key = saef_psk.credential(CSE_NAF.key_id, key_of("cse"))
        channel = await open_channel(Link(address), initiate(CSE, EntityId(str(BSF)), key, server_name=BSF))

        async def inward():
            while octets := await channel.read():
                writer.write(octets)

        task = asyncio.create_task(inward())
        while octets := await reader.read(65536):
            await channel.write(octets)
        task.cancel()
        await channel.close()
        writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def ask_with_python_diameter(port, b_tid):
    """BIR by a node of python-diameter: its own Capabilities-Exchange, routing and parsing."""
    node = Node(str(NAF), "sp.example")
    node.wakeup_interval = 1
    application = SimpleThreadingApplication(dm.APPLICATION_ZN, is_auth_application=True)
    peer = node.add_peer(
        f"aaa://{BSF};transport=tcp", "operator.example", ip_addresses=["127.0.0.1"], is_persistent=True
    )
    peer.port = port
    node.add_application(application, [peer], realms=["operator.example"])
    node.start()
    try:
        application.wait_for_ready(20)
        request = Message.from_bytes(a_request(b_tid).octets())
        for (code, vendor), value in (
            (dm.DESTINATION_REALM, b"operator.example"),
            (dm.DESTINATION_HOST, str(BSF).encode()),
        ):
            request.append_avp(Avp.new(code, vendor, value=value))
        request.destination_realm = b"operator.example"  # its router looks here
        return application.send_request(request, timeout=20)
    finally:
        node.stop(wait_timeout=5, force=True)


async def test_python_diameters_own_node_gets_the_key(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    async with diameter_bsf(tmp_path) as (bsf, address), tls_in_front_of(address) as port:
        context = await bsf.ue().bootstrap()
        answer = await asyncio.to_thread(ask_with_python_diameter, port, context.b_tid)
        values = {(avp.code, avp.vendor_id): avp.value for avp in answer.avps}
        assert values[dm.RESULT_CODE] == dm.SUCCESS
        assert values[dm.ME_KEY_MATERIAL] == context.naf_key(NAF, UA).reveal()
        told = values[dm.KEY_EXPIRY_TIME]
        assert time.mktime(told.timetuple()) == context.expires.timestamp()
        assert answer.header.hop_by_hop_identifier
