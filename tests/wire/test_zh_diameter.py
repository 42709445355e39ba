"""Zh in the form of TS 29.109: messages, a real exchange of others, the client, and a foreign HSS."""

import asyncio
import contextlib
import logging
import socket
import ssl
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from diameter.message import Message
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication
from hypothesis import given
from hypothesis import strategies as st

from certs import Authority, key_pem, permitted_names
from gba_support import AE, BSF, CSE_NAF, NAF, OTHER_NAF, Card, a_subscriber, an_impi, running_bsf
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.flavours import Flavour
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.hss import CAPACITY, HssClient, NafOfOperator
from onem2m_security.clients.ue import Ue
from onem2m_security.credentials import Secret
from onem2m_security.diameter import messages as dm
from onem2m_security.diameter.messages import DiameterMessage
from onem2m_security.diameter.multimedia_auth import MultimediaAuthAnswer, MultimediaAuthRequest
from onem2m_security.diameter.user_settings import UserSecuritySettings, Uss
from onem2m_security.errors import (
    AuthenticationError,
    MessageError,
    ResolverUnavailableError,
    SecurityFrameworkError,
)
from onem2m_security.frameworks import saef_certificate
from onem2m_security.gba.aka import AuthenticationVector, SequenceNumber
from onem2m_security.gba.keys import Impi, KeyChoice, ks_naf, ks_of, naf_id, ua_security_protocol
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.net.address import Address
from onem2m_security.net.link import Link
from onem2m_security.store import Store
from test_config import a_free_port
from test_zn_diameter import client_of

UA = ua_security_protocol(0x00AE)
HSS = Fqdn("hss.operator.example")
GSID = "1000007"

octets = st.binary
IMPIS = st.integers(1, 10**10).map(lambda number: an_impi(number % 10**9))
VECTORS = st.builds(
    AuthenticationVector,
    octets(min_size=16, max_size=16),
    octets(min_size=4, max_size=16).map(Secret),
    octets(min_size=16, max_size=16).map(Secret),
    octets(min_size=16, max_size=16).map(Secret),
    octets(min_size=16, max_size=16),
)
TEXT = st.text(alphabet="abc/<&>\"'-_~.é:+1", min_size=1, max_size=20).map(str.strip).filter(bool)
SETTINGS = st.builds(
    UserSecuritySettings,
    st.lists(
        st.builds(
            Uss,
            TEXT,
            st.integers(0, 9),
            st.none() | TEXT,
            st.lists(TEXT, max_size=3).map(tuple),
            st.frozensets(st.integers(0, 9), max_size=3),
        ),
        max_size=3,
    ).map(tuple),
    st.booleans(),
    st.none() | st.integers(1, 10**6).map(lambda seconds: timedelta(seconds=seconds)),
)


def a_message(attributes, *, is_request=True):
    request = DiameterMessage.request(dm.MULTIMEDIA_AUTH, dm.APPLICATION_ZH, attributes)
    return DiameterMessage.parse((request if is_request else request.answer(attributes)).octets())


# --- messages ---


def test_numbers_are_those_of_the_standard_and_of_the_library():
    from diameter.message import constants

    names = {
        dm.SIP_AUTHENTICATION_SCHEME: "3GPP_SIP_AUTHENTICATION_SCHEME",
        dm.SIP_AUTHENTICATE: "3GPP_SIP_AUTHENTICATE",
        dm.SIP_AUTHORIZATION: "3GPP_SIP_AUTHORIZATION",
        dm.SIP_AUTH_DATA_ITEM: "3GPP_SIP_AUTH_DATA_ITEM",
        dm.CONFIDENTIALITY_KEY: "CONFIDENTIALITY_KEY",
        dm.INTEGRITY_KEY: "INTEGRITY_KEY",
    }
    for (code, vendor), name in names.items():
        assert (getattr(constants, f"AVP_TGPP_{name}"), vendor) == (code, 10415)
    assert constants.APP_3GPP_ZH == dm.APPLICATION_ZH == 16777221


@given(IMPIS, st.none() | st.tuples(octets(min_size=16, max_size=16), octets(min_size=14, max_size=14)))
def test_a_request_comes_back(impi, resynchronisation):
    rand, auts = resynchronisation or (None, None)
    asked = MultimediaAuthRequest(impi, rand, auts)
    assert MultimediaAuthRequest.decode(a_message(asked.encode())) == asked


@given(st.none() | IMPIS, VECTORS, st.none() | SETTINGS)
def test_an_answer_comes_back(impi, vector, settings):
    told = MultimediaAuthAnswer(impi, vector, settings if impi is not None else None)
    assert MultimediaAuthAnswer.decode(a_message(told.encode(), is_request=False)) == told


ITEM = {
    dm.SIP_AUTHENTICATE: bytes(32),
    dm.SIP_AUTHORIZATION: bytes(8),
    dm.CONFIDENTIALITY_KEY: bytes(16),
    dm.INTEGRITY_KEY: bytes(16),
}


@pytest.mark.parametrize(
    "changes",
    [
        *({code: None} for code in ITEM),
        *({code: value + b"x"} for code, value in ITEM.items() if code != dm.SIP_AUTHORIZATION),
        {dm.SIP_AUTHORIZATION: bytes(3)},
        {dm.SIP_AUTHORIZATION: bytes(17)},
    ],
)
def test_an_answer_without_a_whole_vector_is_refused_and_shows_no_key(changes):
    item = [(code, value) for code, value in (ITEM | changes).items() if value is not None]
    message = a_message([(dm.SIP_AUTH_DATA_ITEM, item)], is_request=False)
    with pytest.raises(MessageError) as refused:
        MultimediaAuthAnswer.decode(message)
    assert "00" * 8 not in str(refused.value)


@pytest.mark.parametrize(
    "value", [b"", b"\x00", b"\x00" * 12, b"\xff" * 40, b"\x00\x00\x02\x61\xc0\xff\xff\xff"]
)
def test_a_grouped_avp_that_is_not_well_formed_is_refused(value):
    message = a_message([(dm.SIP_AUTH_DATA_ITEM, value)], is_request=False)
    with pytest.raises(MessageError):
        MultimediaAuthAnswer.decode(message)


def test_groups_within_groups_without_end_are_refused_or_passed_over():
    nested = b""
    while len(nested) < 60_000:
        nested = _in_a_group(nested)
    with pytest.raises(MessageError):
        MultimediaAuthAnswer.decode(a_message([(dm.SIP_AUTH_DATA_ITEM, nested)], is_request=False))


def _in_a_group(inside):
    length = 12 + len(inside)
    return (612).to_bytes(4) + b"\xc0" + length.to_bytes(3) + (10415).to_bytes(4) + inside


# --- a real exchange: Zh in a capture of another's BSF and HSS, in the clear -------------------------------
# fkgi/bag, bga_me_without_TLS.pcapng, an early commit; the keys of Ua that follow are in test_gba_keys.py.

REQUEST = bytes.fromhex(
    "01000128c000012f010000053ab62d50dfd712f400000107400000406273662e6d6e6339392e6d63633939392e336770706e65747"
    "76f726b2e6f72673b333932313031323532383b313030383035303932363b30000001154000000c00000001000001044000002000"
    "00010a4000000c000028af000001024000000c0100000500000108400000286273662e6d6e6339392e6d63633939392e336770706"
    "e6574776f726b2e6f726700000128400000246d6e6339392e6d63633939392e336770706e6574776f726b2e6f72670000011b4000"
    "00246d6e6339392e6d63633939392e336770706e6574776f726b2e6f7267000000014000003839393939393131323232323030303"
    "140696d732e6d6e6339392e6d63633939392e336770706e6574776f726b2e6f7267"
)
ANSWER = bytes.fromhex(
    "010001b84000012f0100000535489cbadfd712f400000107400000406273662e6d6e6339392e6d63633939392e336770706e65747"
    "76f726b2e6f72673b333932313031323532383b313030383035303932363b30000001154000000c00000001000001044000002000"
    "00010a4000000c000028af000001024000000c010000050000010c4000000c000007d100000108400000286873732e6d6e6339392"
    "e6d63633939392e336770706e6574776f726b2e6f726700000128400000246d6e6339392e6d63633939392e336770706e6574776f"
    "726b2e6f726700000264c00000a8000028af00000260c000001c000028af4469676573742d414b4176312d4d443500000261c0000"
    "02c000028af9a4b0c6bccf7b80b4331994b853ce271a15d1bfa1d2b930157f1bb8dfa99be2600000262c000001c000028af6725cd"
    "039cf8974d630f82c52049a08800000271c000001c000028af60715b7aaeececd92fccd2c8d78d3b6b00000272c000001c000028a"
    "f59c2fb00e8bf6739dd03a25e50199dd9000000014000003839393939393131323232323030303140696d732e6d6e6339392e6d63"
    "633939392e336770706e6574776f726b2e6f7267"
)
THEIR_IMPI = Impi.parse("999991122220001@ims.mnc99.mcc999.3gppnetwork.org")
THEIR_NAF = Fqdn("naf.mnc99.mcc999.3gppnetwork.org")


def test_the_request_of_another_bsf_is_read_and_ours_has_the_same_avps():
    theirs = DiameterMessage.parse(REQUEST)
    assert MultimediaAuthRequest.decode(theirs) == MultimediaAuthRequest(THEIR_IMPI)
    assert (theirs.command, theirs.application) == (dm.MULTIMEDIA_AUTH, dm.APPLICATION_ZH)
    client = HssClient(
        Fqdn("hss.mnc99.mcc999.3gppnetwork.org"),
        Link(Address("127.0.0.1", 1)),
        _nobody,
        bsf=Fqdn("bsf.mnc99.mcc999.3gppnetwork.org"),
        nafs=(),
    )
    ours = DiameterMessage.parse(client._request(MultimediaAuthRequest(THEIR_IMPI)).octets())
    for code in (dm.AUTH_SESSION_STATE, dm.VENDOR_SPECIFIC_APPLICATION_ID, dm.ORIGIN_HOST, dm.ORIGIN_REALM):
        assert ours.octets_of(code) == theirs.octets_of(code)
    for code in (dm.DESTINATION_REALM, dm.USER_NAME):
        assert ours.octets_of(code) == theirs.octets_of(code)


def test_the_answer_of_another_hss_gives_the_key_that_its_ue_and_naf_used():
    told = MultimediaAuthAnswer.decode(DiameterMessage.parse(ANSWER))
    assert (told.impi, told.settings) == (THEIR_IMPI, None)
    vector = told.vector
    theirs = naf_id(THEIR_NAF, bytes.fromhex("0100000002"))
    found = ks_naf(ks_of(vector.ck, vector.ik), rand=vector.rand, impi=THEIR_IMPI, naf_id=theirs)
    assert found.reveal().hex() == "ca3658be122710aaba3e15e881b8653962dc6545f1d4fd671eae5d70ee0a7c94"


# --- user security settings to NAFs ---

ALLOWED = frozenset({1})


@pytest.mark.parametrize(
    ("naf", "uss", "allowed"),
    [
        (NafOfOperator(NAF), (), True),
        (NafOfOperator(NAF, GSID), (), False),
        (NafOfOperator(NAF, GSID), (Uss(GSID),), False),
        (NafOfOperator(NAF, GSID), (Uss(GSID, flags=frozenset({2})),), False),
        (NafOfOperator(NAF, GSID), (Uss("1000008", flags=ALLOWED),), False),
        (NafOfOperator(NAF, GSID), (Uss(GSID, flags=ALLOWED),), True),
        (NafOfOperator(NAF, GSID, "a"), (Uss(GSID, naf_group="b", flags=ALLOWED),), False),
        (NafOfOperator(NAF, GSID), (Uss(GSID, naf_group="b", flags=ALLOWED),), False),
        (NafOfOperator(NAF, GSID, "b"), (Uss(GSID, naf_group="b", flags=ALLOWED),), True),
        (NafOfOperator(NAF, GSID, "b"), (Uss(GSID, flags=ALLOWED),), True),
    ],
)
def test_a_naf_may_have_keys_where_the_settings_for_its_application_and_group_allow_it(naf, uss, allowed):
    assert naf.settings(UserSecuritySettings(uss)).allowed is allowed


def test_on_the_uicc_the_configuration_says_which_key_a_naf_shares():
    gba_u = UserSecuritySettings(gba_u=True)
    assert NafOfOperator(NAF).settings(gba_u).key_choice is KeyChoice.KS_EXT_NAF
    assert NafOfOperator(NAF, on_uicc=True).settings(gba_u).key_choice is KeyChoice.KS_INT_NAF
    assert NafOfOperator(NAF, on_uicc=True).settings(UserSecuritySettings()).key_choice is KeyChoice.KS_NAF


# --- a foreign HSS: a node of python-diameter, behind the TLS of the system ---


async def _nobody():
    raise AssertionError("nobody is met")


class ForeignHss:
    """What an operator's HSS does, by another's Diameter stack; in the clear, on loopback."""

    def __init__(self):
        self.port = 0
        self.begin_again()

    def begin_again(self):
        """One subscriber, whose settings allow the application of the NAF."""
        self.subscribers = {an_impi().text: a_subscriber()}
        self.settings = UserSecuritySettings((Uss(GSID, uids=("tel:+1", AE.text), flags=ALLOWED),))
        self.asked = []
        self.result = None
        self.answers_for = None
        self.is_gone = False

    @contextlib.contextmanager
    def running(self):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        node = Node(str(HSS), "operator.example", ip_addresses=["127.0.0.1"], tcp_port=port)
        node.wakeup_interval = 1
        node.validate_received_request_avps = False  # it knows the command from Cx, where more is mandatory
        application = SimpleThreadingApplication(
            dm.APPLICATION_ZH, is_auth_application=True, max_threads=2, request_handler=self._answer
        )
        peer = node.add_peer(f"aaa://{BSF};transport=tcp", "operator.example")
        node.add_application(application, [peer], realms=["operator.example"])
        node.start()
        try:
            yield port
        finally:
            node.stop(wait_timeout=5, force=True)

    def _answer(self, _, message):
        request = DiameterMessage.parse(message.as_bytes())
        asked = MultimediaAuthRequest.decode(request)
        self.asked.append(asked)
        return Message.from_bytes(request.answer(self._told(asked)).octets())

    def _told(self, asked):
        common = [
            *dm.application(dm.APPLICATION_ZH),
            (dm.ORIGIN_HOST, str(HSS)),
            (dm.ORIGIN_REALM, "operator.example"),
        ]
        if self.result is not None:
            return [*common, (dm.RESULT_CODE, self.result)]
        known = self.subscribers.get(asked.impi.text)
        if known is None:
            # As a plain result: this stack counts answers by it, and stumbles over one that has none.
            return [*common, (dm.RESULT_CODE, dm.IDENTITY_UNKNOWN)]
        self.subscribers[asked.impi.text], vector = known.asked(auts=asked.auts, rand=asked.rand)
        told = MultimediaAuthAnswer(self.answers_for or asked.impi, vector, self.settings)
        return [*common, (dm.RESULT_CODE, dm.SUCCESS), *told.encode()]


@pytest.fixture(scope="module")
def running_hss():
    hss = ForeignHss()
    with hss.running() as hss.port:
        yield hss


@pytest.fixture
def hss(running_hss, caplog):
    caplog.set_level(logging.CRITICAL)
    running_hss.begin_again()
    return running_hss


ROOT = Authority.root("Operator")
ISSUER = ROOT.intermediate(permitted=permitted_names(dns=["operator.example"]))
OF_BSF = ISSUER.issue(Flavour.FQDN, str(BSF))
OF_HSS = ISSUER.issue(Flavour.FQDN, str(HSS))


@contextlib.asynccontextmanager
async def tls_in_front_of(hss, directory):
    """The TLS of an operator's gateway: Python's ssl, which demands and checks the BSF's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    chain, key, anchor = (directory / name for name in ("hss.pem", "hss.key", "anchor.pem"))
    chain.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in OF_HSS.chain))
    key.write_bytes(key_pem(OF_HSS.private_key))
    anchor.write_bytes(ROOT.trust_anchor_pem)
    context.load_cert_chain(chain, key)
    context.load_verify_locations(anchor)
    open_now = []

    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(octets)
        writer.close()

    async def forward(reader, writer):
        if hss.is_gone:
            writer.close()
            return
        inner = await asyncio.open_connection("127.0.0.1", hss.port)
        open_now.extend((writer, inner[1]))
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in open_now:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def how_to_meet(name):
    """The BSF's certificate, for an HSS whose own certificate has this name."""
    trust = AssociationConfiguration.release3(
        flavour=Flavour.FQDN, peer_id=str(name), trust_anchors=ROOT.trust_anchor_pem, peer=str(name)
    )
    return saef_certificate.initiate(EntityId(str(BSF)), OF_BSF.local(), Trust((trust,)), server_name=name)


@contextlib.asynccontextmanager
async def met_by_a_client(hss, directory, *, name=HSS, **settings):
    """A client of this HSS."""
    async with tls_in_front_of(hss, directory) as address:
        nafs = [NafOfOperator(NAF, GSID)]
        client = HssClient(name, Link(address), how_to_meet(name), bsf=BSF, nafs=nafs, **settings)
        try:
            yield client
        finally:
            await client.close()


async def test_a_ue_bootstraps_by_a_vector_of_the_hss_and_its_naf_gets_the_key(hss, tmp_path):
    async with (
        met_by_a_client(hss, tmp_path) as client,
        running_bsf(tmp_path / "data", [], hss=client) as bsf,
    ):
        context = await bsf.ue().bootstrap()
        naf = CSE_NAF.client(bsf.zn)
        found = await naf.fetch(context.b_tid, UA)
        await naf.close()
        assert found.key == context.naf_key(NAF, UA)
        assert found.entity == AE
        assert len(hss.asked) == 1  # vector and settings came in one answer


async def test_a_card_that_is_ahead_is_resynchronised_by_the_hss(hss, tmp_path):
    card = Card(a_subscriber())
    ahead = a_subscriber(sqn=SequenceNumber(9 << 5))
    _, vector = ahead.next_vector()
    card.authenticate(vector.rand, vector.autn)
    async with (
        met_by_a_client(hss, tmp_path) as client,
        running_bsf(tmp_path / "data", [], hss=client) as bsf,
    ):
        assert (await bsf.ue(card).bootstrap()).ks
    assert [asked.auts is not None for asked in hss.asked] == [False, True]


async def test_settings_that_do_not_allow_the_naf_keep_the_key_from_it(hss, tmp_path):
    hss.settings = UserSecuritySettings((Uss("1000008", flags=ALLOWED),))
    async with (
        met_by_a_client(hss, tmp_path) as client,
        running_bsf(tmp_path / "data", [], hss=client) as bsf,
    ):
        context = await bsf.ue().bootstrap()
        naf = CSE_NAF.client(bsf.zn)
        assert await naf.fetch(context.b_tid, UA) is None
        await naf.close()


async def test_a_subscriber_that_the_hss_does_not_know_is_asked_for_once_and_gets_no_challenge(hss, tmp_path):
    hss.subscribers.clear()
    async with (
        met_by_a_client(hss, tmp_path) as client,
        running_bsf(tmp_path / "data", [], hss=client) as bsf,
    ):
        for _ in range(3):
            with pytest.raises(AuthenticationError):
                await bsf.ue().bootstrap()
    assert len(hss.asked) == 1


async def test_settings_are_asked_for_again_when_they_have_aged_and_a_vector_is_used_once(hss, tmp_path):
    now = [0.0]
    async with met_by_a_client(hss, tmp_path, clock=lambda: now[0]) as client:
        impi = an_impi()
        assert (await client.guss(impi)).for_naf(NAF) is not None
        assert (await client.guss(impi)).for_naf(OTHER_NAF) is None
        first, second = await client.vectors(impi), await client.vectors(impi)
        assert first != second
        assert len(hss.asked) == 2
        hss.settings = UserSecuritySettings()
        now[0] = 61.0
        assert (await client.guss(impi)).for_naf(NAF) is None
        assert len(hss.asked) == 3


@pytest.mark.parametrize("result", [dm.UNABLE_TO_COMPLY, dm.UNABLE_TO_DELIVER, dm.NOT_AUTHORIZED])
async def test_an_hss_that_cannot_answer_is_unavailable_and_the_subscriber_is_not_taken_for_unknown(
    hss, tmp_path, result
):
    hss.result = result
    async with met_by_a_client(hss, tmp_path) as client:
        with pytest.raises(ResolverUnavailableError, match=str(result)):
            await client.guss(an_impi())
        hss.result = None
        assert await client.vectors(an_impi())


async def test_an_answer_for_another_subscriber_is_not_taken(hss, tmp_path):
    hss.answers_for = an_impi(2)
    async with met_by_a_client(hss, tmp_path) as client:
        with pytest.raises(ResolverUnavailableError, match="another subscriber"):
            await client.vectors(an_impi())


async def test_an_hss_that_cannot_be_reached_is_a_refusal_for_now_on_ub_and_comes_back(hss, tmp_path):
    async with met_by_a_client(hss, tmp_path) as client:
        hss.is_gone = True
        async with running_bsf(tmp_path / "data", [], hss=client) as bsf:
            with pytest.raises(SecurityFrameworkError, match="try again later"):
                await bsf.ue().bootstrap()
            hss.is_gone = False
            assert (await bsf.ue().bootstrap()).ks


async def test_an_hss_with_another_name_in_its_certificate_is_asked_nothing(hss, tmp_path):
    async with met_by_a_client(hss, tmp_path, name=Fqdn("hss.other.example")) as client:
        with pytest.raises(ResolverUnavailableError, match="certificate was refused"):
            await client.vectors(an_impi())
    assert not hss.asked


HOUSE = """
[[bsf]]
fqdn = "{bsf}"
data = "bsf"
listen-ub = "127.0.0.1:{ub}"
hss = "{hss}"

[[bsf.hss-nafs]]
naf = "{naf}"
gsid = "{gsid}"

[peers."{hss}"]
address = "{address}"

[peers."{hss}".prove]
certificate = "bsf.pem"
private-key = "bsf.key"

[peers."{hss}".trust]
flavour = "fqdn"
trust-anchors = "anchor.pem"
"""


BSF_ALONE = HOUSE.replace("[[bsf]]", '[[bsf]]\nlisten-zn = "127.0.0.1:{zn}"')
MEF_TOO = HOUSE.replace("bsf.hss", "mef.hss").replace(
    "[[bsf]]", '[[mef]]\nlisten = "127.0.0.1:{zn}"\ngba = true\nlisten-diameter = "127.0.0.1:{diameter}"'
)


@pytest.mark.parametrize("house", [BSF_ALONE, MEF_TOO], ids=["alone", "part of an MEF"])
async def test_a_bsf_from_a_configuration_file_asks_its_hss(hss, programs, tmp_path, house):
    ub, zn, diameter = a_free_port(), a_free_port(), a_free_port()
    (tmp_path / "bsf.pem").write_bytes(OF_BSF.chain_pem)
    key_of_bsf = tmp_path / "bsf.key"
    key_of_bsf.touch(mode=0o600)
    key_of_bsf.write_bytes(OF_BSF.key_pem)
    async with await Store.open(tmp_path / "bsf") as store:
        await store.add_many([CSE_NAF.record])
    async with tls_in_front_of(hss, tmp_path) as address:
        ports = {"ub": ub, "zn": zn, "diameter": diameter}
        (tmp_path / "house.toml").write_text(
            house.format(bsf=BSF, hss=HSS, naf=NAF, gsid=GSID, address=address, **ports)
        )
        server = programs.start("serve", "--config", tmp_path / "house.toml")
        await asyncio.to_thread(server.wait_for, rf"BSF {BSF}, Ub, listening on")
        context = await Ue(Card(a_subscriber()), BSF, Link(Address("127.0.0.1", ub))).bootstrap()
        by_requests = CSE_NAF.client(Address("127.0.0.1", zn))
        by_diameter = client_of(CSE_NAF, Address("127.0.0.1", diameter))
        for naf in (by_requests, by_diameter) if house is MEF_TOO else (by_requests,):
            found = await naf.fetch(context.b_tid, UA)
            await naf.close()
            assert (found.key, found.entity) == (context.naf_key(NAF, UA), AE)


def test_what_is_remembered_of_subscribers_is_bounded():
    client = HssClient(HSS, Link(Address("127.0.0.1", 1)), _nobody, bsf=BSF, nafs=())
    for number in range(CAPACITY + 10):
        client._remember(an_impi(number), object())
    assert len(client._known) == CAPACITY
    assert an_impi(0) not in client._known
