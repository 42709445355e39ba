"""Certificates by EST (TS-0003 8.3.6.2, RFC 7030) over real sockets: who gets which, and who gets none."""

from __future__ import annotations

import asyncio

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID

from certificate_support import ID_B, ROOT, endpoint_b, flavoured, initiator_a
from certs import P256, Flavour
from est_support import (
    FACTORY,
    MEF_CA,
    NAME,
    NAME_7,
    est_mef,
)
from logged import capture_logs
from maf_support import LOOPBACK
from mef_support import DEVICE, MEF, PATIENT, THE_MAF, Device, running_mef
from onem2m_security.certificates.est_messages import encode_body
from onem2m_security.certificates.signing_requests import CertifiedName, make_request
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.est import provision
from onem2m_security.credentials import Secret
from onem2m_security.errors import PeerRefusedError, ResolverUnavailableError
from onem2m_security.frameworks import mef_handshake
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.net.channel import open_channel
from onem2m_security.net.http_client import HttpConnections
from onem2m_security.net.link import Link
from onem2m_security.servers.est import EstPolicy
from onem2m_security.store import KeyKind


async def test_a_device_with_a_pre_provisioned_key_gets_a_certificate_of_its_own_name(tmp_path):
    async with est_mef(tmp_path) as mef, mef.by_key() as client:
        got = await provision(client, NAME)
        assert NAME.is_all_of(got.certificate)
        assert got.certificate.public_key() == got.private_key.public_key()
        assert got.chain[1:] == MEF_CA.chain
        [file] = mef.files
        assert file.read_bytes() == got.certificate.public_bytes(Encoding.PEM)


async def test_what_was_issued_is_logged_with_serial_and_fingerprint(tmp_path):
    with capture_logs() as logs:
        async with est_mef(tmp_path) as mef, mef.by_key() as client:
            got = await provision(client, NAME)
    [line] = [line for line in logs if line["event"] == "certificate issued"]
    assert line["serial"] == f"{got.certificate.serial_number:x}"
    assert line["fingerprint"] == got.certificate.fingerprint(hashes.SHA256()).hex()
    assert line["client"] == str(DEVICE.entity)


async def test_a_device_goes_on_from_the_certificate_of_its_factory_to_one_that_it_renews(tmp_path):
    async with est_mef(tmp_path) as mef:
        async with mef.by_certificate(FACTORY) as client:
            first = await provision(client, NAME_7)
        async with mef.by_certificate(first) as client:
            second = await provision(client, NAME_7, renewing=True)
        assert second.certificate.serial_number != first.certificate.serial_number
        assert len(mef.files) == 2
        async with mef.by_certificate(second) as client:
            await client.ca_certificates()


async def test_only_a_certificate_that_was_provisioned_here_is_renewed(tmp_path):
    async with est_mef(tmp_path) as mef:
        async with mef.by_certificate(FACTORY) as client:
            with pytest.raises(PeerRefusedError, match="what is renewed") as refused:
                await provision(client, NAME_7, renewing=True)
            assert refused.value.rsc == 403
        async with mef.by_key() as client:
            await provision(client, NAME)
            with pytest.raises(PeerRefusedError, match="what is renewed"):
                await provision(client, NAME, renewing=True)
        assert len(mef.files) == 1


async def test_a_certificate_whose_record_is_gone_is_not_renewed(tmp_path):
    async with est_mef(tmp_path) as mef:
        async with mef.by_certificate(FACTORY) as client:
            first = await provision(client, NAME_7)
        mef.files[0].unlink()
        async with mef.by_certificate(first) as client:
            with pytest.raises(PeerRefusedError, match="what is renewed"):
                await provision(client, NAME_7, renewing=True)


# --- requests that are refused ------------------------------------------------------------------------------

OTHER = CertifiedName.of(EntityId.parse("//sp.example/in-cse/Cother"))


def asking(names, *, key=None, subject=(), challenge=None, extensions=()):
    """A request as wrong as a test needs it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    if challenge is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.reveal())
    return builder.sign(key or P256(), hashes.SHA256())


OWN = NAME.general_names
BAD_REQUESTS = {
    "another's name": ("in subjectAltName", {"names": OTHER.general_names}),
    "a further name": ("in subjectAltName", {"names": [*OWN, *OTHER.general_names]}),
    "a domain name beside its own": ("in subjectAltName", {"names": [*OWN, x509.DNSName("mef.example.com")]}),
    "no name": ("in subjectAltName", {"names": []}),
    "another's name in the Subject": (
        "in subjectAltName",
        {"names": OWN, "subject": [x509.NameAttribute(NameOID.COMMON_NAME, "mef.example.com")]},
    ),
    "a certificate authority": (
        "CA:TRUE", {"names": OWN, "extensions": [x509.BasicConstraints(ca=True, path_length=None)]}
    ),
    "a key purpose of its choice": (
        "is not granted",
        {"names": OWN, "extensions": [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])]},
    ),
    "an extension of its choice": (
        "is not granted",
        {"names": OWN, "extensions": [x509.TLSFeature([x509.TLSFeatureType.status_request])]},
    ),
    "a key on another curve": ("P-256", {"names": OWN, "key": ec.generate_private_key(ec.SECP384R1())}),
    "an RSA key": ("P-256", {"names": OWN, "key": rsa.generate_private_key(65537, 2048)}),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_REQUESTS)
async def test_a_request_for_anything_else_is_refused(tmp_path, what):
    reason, asked = BAD_REQUESTS[what]
    async with est_mef(tmp_path) as mef, mef.by_key() as client:
        challenge = (await client.attributes()).challenge
        with pytest.raises(PeerRefusedError, match=reason) as refused:
            await client.request(asking(challenge=challenge, **asked))
        assert refused.value.rsc == 400
        assert mef.files == []
        challenge = (await client.attributes()).challenge
        await client.request(asking(OWN, challenge=challenge))


async def test_a_request_is_granted_once(tmp_path):
    async with est_mef(tmp_path) as mef, mef.by_key() as client:
        request = make_request(NAME, P256(), (await client.attributes()).challenge)
        await client.request(request)
        with pytest.raises(PeerRefusedError, match="challengePassword"):
            await client.request(request)
        assert len(mef.files) == 1


@pytest.mark.parametrize("challenge", [None, Secret(b"guessed")], ids=["none", "guessed"])
async def test_a_request_without_the_challenge_that_was_given_is_refused(tmp_path, challenge):
    async with est_mef(tmp_path) as mef, mef.by_key() as client:
        await client.attributes()
        with pytest.raises(PeerRefusedError, match="challengePassword"):
            await client.request(make_request(NAME, P256(), challenge))


async def test_what_one_client_was_given_is_of_no_use_to_another(tmp_path):
    async with est_mef(tmp_path) as mef, mef.by_key() as one, mef.by_certificate() as other:
        request = make_request(NAME, P256(), (await one.attributes()).challenge)
        await other.attributes()
        with pytest.raises(PeerRefusedError, match="challengePassword"):
            await other.request(request)
        await one.request(request)


async def raw(mef, method, path, body=None, media_type="application/pkcs10", device=DEVICE):
    connections = HttpConnections(Link(mef.address, limits=PATIENT), device.initiator)
    try:
        return await connections.exchange(method, path, [("Content-Type", media_type)], body)
    finally:
        await connections.close()


GARBAGE = {
    "not base64": b"\xff\xfe",
    "no request": encode_body(b"0\x82\xff\xff"),
    "nothing": b"",
    "too long": encode_body(bytes(9000)),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_garbage_is_refused(tmp_path, what):
    async with est_mef(tmp_path) as mef:
        answer = await raw(mef, "POST", "/.well-known/est/simpleenroll", GARBAGE[what])
        assert answer.status == 400
        assert answer.last("content-type").startswith("text/plain")


async def test_a_forged_signature_is_refused(tmp_path):
    der = bytearray(make_request(NAME, P256()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    async with est_mef(tmp_path) as mef:
        answer = await raw(mef, "POST", "/.well-known/est/simpleenroll", encode_body(bytes(der)))
        assert answer.status == 400
        assert b"not signed with its own key" in answer.body or b"cannot be read" in answer.body


async def test_a_body_without_end_is_refused(tmp_path):
    async with est_mef(tmp_path) as mef:
        answer = await raw(mef, "POST", "/.well-known/est/simpleenroll", b"A" * 100_000)
        assert answer.status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "cacerts", 405),
        ("GET", "simpleenroll", 405),
        ("POST", "serverkeygen", 404),
        ("POST", "fullcmc", 404),
        ("GET", "", 404),
        ("GET", "label/cacerts", 404),
    ],
)
async def test_nothing_else_is_offered(tmp_path, method, path, status):
    async with est_mef(tmp_path) as mef:
        answer = await raw(mef, method, f"/.well-known/est/{path}", b"" if method == "POST" else None)
        assert answer.status == status


async def test_another_media_type_is_refused(tmp_path):
    async with est_mef(tmp_path) as mef:
        answer = await raw(mef, "POST", "/.well-known/est/simpleenroll", b"", "application/json")
        assert answer.status == 415


async def test_whose_identity_no_certificate_can_hold_gets_none(tmp_path):
    initiator = mef_handshake.initiate(THE_MAF.entity, MEF, THE_MAF.key)
    async with est_mef(tmp_path) as mef, mef.by_key(initiator) as client:
        await client.ca_certificates()
        with pytest.raises(PeerRefusedError, match="no name that a certificate can hold") as refused:
            await client.attributes()
        assert refused.value.rsc == 403
        with pytest.raises(PeerRefusedError, match="no name that a certificate can hold"):
            await client.request(make_request(NAME, P256()))


async def test_an_operator_may_allow_a_node_id(tmp_path):
    node = CertifiedName.parse("node-id:urn:gsma:imei:90420156-025763-0")
    policy = EstPolicy(names={DEVICE.entity: (NAME, node)})
    ca = ROOT.intermediate("for nodes", permitted=[x509.DNSName("sp.example")])
    async with est_mef(tmp_path, policy=policy, ca=ca) as mef, mef.by_key() as client:
        request = make_request(node, P256(), (await client.attributes()).challenge)
        assert node.is_all_of(await client.request(request))
        names = [*NAME.general_names, *node.general_names]
        both = asking(names, challenge=(await client.attributes()).challenge)
        with pytest.raises(PeerRefusedError, match="in subjectAltName"):
            await client.request(both)


async def test_a_client_has_no_more_live_certificates_than_its_quota(tmp_path):
    policy = EstPolicy(live_certificates=2)
    async with est_mef(tmp_path, policy=policy) as mef:
        async with mef.by_key() as client:
            for _ in range(2):
                await provision(client, NAME)
            with pytest.raises(PeerRefusedError, match="are live") as refused:
                await provision(client, NAME)
            assert refused.value.rsc == 429
        async with mef.by_certificate() as other:
            await provision(other, NAME_7)


async def test_a_client_does_not_ask_more_often_than_its_quota(tmp_path):
    policy = EstPolicy(requests_per_second=0.05)  # one at once
    async with est_mef(tmp_path, policy=policy) as mef, mef.by_key() as client:
        await provision(client, NAME)
        with pytest.raises(PeerRefusedError, match="too many certificates"):
            await provision(client, NAME)


async def test_an_authority_whose_certificates_peers_would_refuse_hands_none_out(tmp_path):
    """No name constraints: 8.1.2.2 wants them for an AE-ID."""
    with capture_logs() as logs:
        async with est_mef(tmp_path, ca=ROOT.intermediate("free")) as mef, mef.by_key() as client:
            with pytest.raises(PeerRefusedError, match="could not be carried out"):
                await provision(client, NAME)
            assert mef.files == []
    assert any("peers would refuse it" in str(line.get("error")) for line in logs)


async def test_an_mef_without_est_offers_nothing_there(tmp_path):
    async with running_mef(tmp_path) as mef:
        answer = await raw(mef, "GET", "/.well-known/est/cacerts")
        assert answer.status in {400, 404}


async def test_an_mef_without_est_on_the_port_of_one_that_has_it_offers_nothing_there(tmp_path):
    other = Fqdn("mef.example.net")
    async with est_mef(tmp_path, others=(other,)) as mef:
        assert (await raw(mef, "GET", "/.well-known/est/cacerts")).status == 200
        device = Device("device", mef=other)
        await mef.store.add(device.record)
        assert (await raw(mef, "GET", "/.well-known/est/cacerts", device=device)).status == 404


async def test_who_is_revoked_gets_no_certificate_over_a_session_that_is_open(tmp_path):
    async with est_mef(tmp_path) as mef, mef.by_key() as client:
        challenge = (await client.attributes()).challenge
        await mef.store.remove(KeyKind.KPM, DEVICE.kpm_id, descendants=True)
        with pytest.raises((PeerRefusedError, ResolverUnavailableError)):
            await client.request(make_request(NAME, P256(), challenge))
        assert mef.files == []


# --- what comes of it ---------------------------------------------------------------------------------------


async def test_by_the_certificate_a_device_associates_with_who_trusts_the_root(tmp_path):
    async with est_mef(tmp_path) as mef, mef.by_key() as client:
        got = await provision(client, NAME)
    met = asyncio.Queue()

    async def meet(channel):
        await met.put(channel.association.peer)

    async with EntityB(ID_B, endpoint=endpoint_b(flavoured(Flavour.AE_ID))) as entity_b:
        address = await entity_b.listen(LOOPBACK, meet)
        async with await open_channel(Link(address, limits=PATIENT), initiator_a(got.local)):
            assert await met.get() == DEVICE.entity
