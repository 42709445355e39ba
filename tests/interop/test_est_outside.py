"""EST with programs of others: curl and openssl as the client, http.server and openssl as the authority."""

from __future__ import annotations

import asyncio
import base64
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certificate_support import ROOT, named
from certs import P256
from est_support import FACTORY, MEF_CA, NAME, NAME_7, est_mef
from logged import capture_logs
from mef_support import MEF
from onem2m_security.certificates.signing_requests import make_request
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.est import EstClient, provision
from onem2m_security.credentials import Framework
from onem2m_security.errors import PeerRefusedError
from onem2m_security.frameworks import saef_certificate
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.net.link import Link
from onem2m_security.servers.issuing import OutsideAuthority
from outside_authority import NAME as OUTSIDE
from outside_authority import outside_authority, run
from programs import PATIENCE
from requirements import needs

CONFIGURATION = """\
[req]
prompt=no
distinguished_name=dn
req_extensions=ext
attributes=attributes
[dn]
{subject}
[ext]
subjectAltName={names}
{more}
[attributes]
challengePassword={challenge}
"""
URI = f"URI:{NAME_7.general_names[0].value}"
CN = f"CN={NAME_7.identifier}"


class Curl:
    """The EST client of a manual page: curl with files, and openssl for what is in them."""

    def __init__(self, mef, directory, issued=FACTORY):
        self.directory = directory
        self._port = mef.address.port
        (directory / "root.pem").write_bytes(ROOT.trust_anchor_pem)
        (directory / "mine.pem").write_bytes(issued.full_chain_pem)
        (directory / "mine.key").write_bytes(issued.key_pem)

    def _curl(self, operation, *options):
        command = [
            needs("curl"), "-sS", "--resolve", f"{MEF}:{self._port}:127.0.0.1", "--max-time", str(PATIENCE),
            "--cacert", self.directory / "root.pem", "--cert", self.directory / "mine.pem",
            "--key", self.directory / "mine.key", "-w", "\n%{http_code}", *options,
            f"https://{MEF}:{self._port}/.well-known/est/{operation}",
        ]  # fmt: skip
        done = subprocess.run(
            [*map(str, command)], capture_output=True, timeout=PATIENCE, check=True, stdin=subprocess.DEVNULL
        )
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), body

    async def get(self, operation):
        return await asyncio.to_thread(self._curl, operation)

    async def challenge(self):
        status, body = await self.get("csrattrs")
        assert status == 200
        printed = run("asn1parse", "-inform", "DER", given=base64.b64decode(body)).decode().splitlines()
        at = next(number for number, line in enumerate(printed) if "challengePassword" in line)
        return printed[at + 2].rpartition(":")[2]

    async def enrol(self, operation="simpleenroll", *, names=URI, subject=CN, more="", challenge=None):
        """Make a key and a request with openssl, and send it; the status, and what came."""
        text = CONFIGURATION.format(
            names=names, subject=subject, more=more, challenge=challenge or await self.challenge()
        )
        (self.directory / "request.cnf").write_text(text)
        run(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256",
            "-keyout", self.directory / "new.key", "-config", self.directory / "request.cnf",
            "-outform", "DER", "-out", self.directory / "request.der",
        )  # fmt: skip
        body = base64.encodebytes((self.directory / "request.der").read_bytes())
        (self.directory / "request.b64").write_bytes(body)
        return await asyncio.to_thread(
            self._curl, operation, "--data-binary", f"@{self.directory / 'request.b64'}",
            "-H", "Content-Type: application/pkcs10", "-H", "Content-Transfer-Encoding: base64",
        )  # fmt: skip

    def use_what_came(self, body):
        """Show the new certificate from now on; what openssl reads in it."""
        pem = run("pkcs7", "-inform", "DER", "-print_certs", given=base64.b64decode(body))
        issuers = b"".join(one.public_bytes(Encoding.PEM) for one in MEF_CA.chain[:-1])
        (self.directory / "mine.pem").write_bytes(pem + issuers)
        (self.directory / "new.key").replace(self.directory / "mine.key")
        return x509.load_pem_x509_certificate(pem)


async def test_curl_and_openssl_get_a_certificate_and_renew_it(tmp_path):
    async with est_mef(tmp_path / "mef") as mef:
        curl = Curl(mef, tmp_path)
        status, body = await curl.get("cacerts")
        assert status == 200
        printed = run("pkcs7", "-inform", "DER", "-print_certs", given=base64.b64decode(body))
        assert set(x509.load_pem_x509_certificates(printed)) == set(MEF_CA.chain)
        status, body = await curl.enrol()
        assert status == 200, body
        first = curl.use_what_came(body)
        assert NAME_7.is_all_of(first)
        status, body = await curl.enrol("simplereenroll")
        assert status == 200, body
        assert NAME_7.is_all_of(curl.use_what_came(body))
        assert len(mef.files) == 2
        assert run("verify", "-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "mine.pem",
                   tmp_path / "mine.pem").endswith(b"OK\n")  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "asked"),
    [
        ("in subjectAltName", {"names": "URI:m2m://sp.example/in-cse/Cother"}),
        ("in subjectAltName", {"names": f"{URI},DNS:mef.example.com"}),
        ("in subjectAltName", {"subject": "CN=mef.example.com"}),
        ("in subjectAltName", {"subject": f"{CN}\nO=somebody"}),
        ("CA:TRUE", {"more": "basicConstraints=critical,CA:TRUE"}),
        ("is not granted", {"more": "keyUsage=keyCertSign"}),
        ("is not granted", {"more": "nameConstraints=permitted;DNS:example.com"}),
        ("challengePassword", {"challenge": "guessed"}),
    ],
)
async def test_openssl_asks_for_more_and_gets_nothing(tmp_path, reason, asked):
    async with est_mef(tmp_path / "mef") as mef:
        status, body = await Curl(mef, tmp_path).enrol(**asked)
        assert status == 400
        assert reason in body.decode()
        assert mef.files == []


# --- an authority outside -----------------------------------------------------------------------------------

RA = ROOT.intermediate("registration authorities").issue(None, "mef-ra.example.com")
SERVER = ROOT.intermediate("servers").issue(None, OUTSIDE)


def asking(outside):
    """The MEF, as the client of the authority outside."""
    peer = EntityId(OUTSIDE)
    how = saef_certificate.initiate_with_function(
        Framework.BOOTSTRAP_CERTIFICATE, EntityId(str(MEF)), Fqdn(OUTSIDE), RA.local(),
        Trust((named(OUTSIDE, peer),)),
    )  # fmt: skip
    return OutsideAuthority(EstClient(Link(outside.address), how))


async def test_an_mef_forwards_what_it_grants_to_an_authority_outside(tmp_path):
    needs("openssl")
    with outside_authority(tmp_path / "outside", MEF_CA, SERVER) as outside:
        async with est_mef(tmp_path / "mef", authority=asking(outside)) as mef, mef.by_key() as client:
            got = await provision(client, NAME)
            assert NAME.is_all_of(got.certificate)
            assert len(mef.files) == 1
    forwarded = [asked for asked in outside.asked if asked[0].endswith("simpleenroll")]
    assert forwarded == [("/.well-known/est/simpleenroll", "mef-ra.example.com")]


async def test_what_an_mef_refuses_never_reaches_the_authority(tmp_path):
    needs("openssl")
    with outside_authority(tmp_path / "outside", MEF_CA, SERVER) as outside:
        async with est_mef(tmp_path / "mef", authority=asking(outside)) as mef, mef.by_key() as client:
            challenge = (await client.attributes()).challenge
            with pytest.raises(PeerRefusedError, match="in subjectAltName"):
                await client.request(make_request(NAME_7, P256(), challenge))
    assert outside.asked == []


async def test_an_authority_that_issues_something_else_is_not_believed(tmp_path):
    needs("openssl")
    other = make_request(NAME_7, P256()).public_bytes(Encoding.DER)
    with outside_authority(tmp_path / "outside", MEF_CA, SERVER) as outside, capture_logs() as logs:
        outside.signs = other
        async with est_mef(tmp_path / "mef", authority=asking(outside)) as mef, mef.by_key() as client:
            with pytest.raises(PeerRefusedError) as refused:
                await provision(client, NAME)
            assert refused.value.rsc == 503
            assert mef.files == []
    assert any("no certificate for our key" in str(line.get("error")) for line in logs)


@pytest.mark.parametrize(
    ("status", "answered", "told"),
    [(202, 503, "Retry-After: '7'"), (500, 500, "answered 500"), (403, 500, "answered 403")],
)
async def test_why_an_authority_does_not_issue_is_told_to_the_operator(tmp_path, status, answered, told):
    needs("openssl")
    with outside_authority(tmp_path / "outside", MEF_CA, SERVER) as outside, capture_logs() as logs:
        outside.status = status
        async with est_mef(tmp_path / "mef", authority=asking(outside)) as mef, mef.by_key() as client:
            with pytest.raises(PeerRefusedError) as refused:
                await provision(client, NAME)
            assert refused.value.rsc == answered
            assert mef.files == []
    assert any(told in str(line.get("error")) for line in logs)


async def test_without_a_certificate_that_the_mef_knows_curl_gets_no_answer(tmp_path):
    stranger = ROOT.intermediate("factory").issue(None, "device-8.example.com")
    async with est_mef(tmp_path / "mef") as mef:
        with pytest.raises(subprocess.CalledProcessError):
            await Curl(mef, tmp_path, stranger).get("cacerts")
        assert (await Curl(mef, tmp_path).get("cacerts"))[0] == 200
