"""What is fuzzed: each function takes any octets, and raises nothing but what its parser promises.

Beyond that, each checks what must hold for what was accepted: a value that parses to itself, bounds, and no
handshake that completes without the key.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable

from aiocoap.error import UnparsableMessage

import strangers
from onem2m_security.credentials import Secret
from onem2m_security.diameter.bootstrapping_info import BootstrappingInfoRequest, decode_naf_key
from onem2m_security.diameter.messages import (
    APPLICATION_ZN,
    BOOTSTRAPPING_INFO,
    NAF_ID,
    DiameterMessage,
)
from onem2m_security.diameter.multimedia_auth import MultimediaAuthAnswer, MultimediaAuthRequest
from onem2m_security.diameter.user_settings import UserSecuritySettings
from onem2m_security.errors import (
    ConfigurationError,
    CredentialError,
    IdentifierError,
    MessageError,
    SecurityFrameworkError,
)
from onem2m_security.gba.bootstrap_info import BootstrappingInfo as UbBootstrappingInfo
from onem2m_security.identifiers import CredentialId, EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.binding import (
    path_segments,
    read_content,
    read_response,
    request_primitive,
)
from onem2m_security.net.coap_carried import read_request as coap_request
from onem2m_security.net.coap_carried import read_response as coap_response
from onem2m_security.net.coap_carried import write_request as write_coap
from onem2m_security.net.coap_messages import read_message
from onem2m_security.net.http_carried import HttpRequestHead
from onem2m_security.net.http_carried import read_request as http_request
from onem2m_security.net.http_carried import read_response as http_response
from onem2m_security.net.http_carried import write_request as write_http
from onem2m_security.net.http_carried import write_response as write_http_response
from onem2m_security.net.json_primitives import (
    is_request,
    read_answer,
    read_primitive,
    read_request,
    request_id_of,
    write_request,
    write_response,
)
from onem2m_security.net.limits import Limits
from onem2m_security.net.request_client import Asked
from onem2m_security.onem2m.carried import path_of, segments_of, to_of, to_of_path
from onem2m_security.onem2m.commands import CommandDescription
from onem2m_security.onem2m.fetch_credentials import FetchedCredential
from onem2m_security.onem2m.primitives import Operation, RefusedError
from onem2m_security.onem2m.resources import (
    BootstrappingInfo,
    MafClientRegistration,
    MefClientCommand,
    MefClientRegistration,
    SymmetricKeyRegistration,
)
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.psk_identity import DatagramIdentityReader, StreamIdentityReader
from onem2m_security.tls.records import datagram_fragments, split_datagram, take_record
from onem2m_security.tls.session import Session
from onem2m_security.tls.states import State
from onem2m_security.tls.suites import PSK_SUITES

SERVER = Endpoint(server=True)
LIMITS = Limits(body_octets=2048)


def identifiers(octets: bytes) -> None:
    """Key identifiers from the wire: what parses, parses to itself."""
    with contextlib.suppress(IdentifierError):
        parsed = KeyIdentifier.parse(octets)
        assert KeyIdentifier.parse(str(parsed)) == parsed
    with contextlib.suppress(IdentifierError):
        entity = EntityId.parse(octets)
        assert EntityId.parse(str(entity)) == entity
        _ = entity.kind, entity.domain_name


def texts(octets: bytes) -> None:
    """What people write: domain names, Credential-IDs, addresses, keys."""
    text = octets.decode("utf-8", "surrogateescape")
    with contextlib.suppress(IdentifierError):
        assert Fqdn.parse(str(Fqdn.parse(text))) == Fqdn.parse(text)
    with contextlib.suppress(IdentifierError):
        assert str(CredentialId.parse(text)).partition("-")[2] == text.partition("-")[2]
    with contextlib.suppress(ConfigurationError):
        assert 0 <= Address.parse(text).port <= 65_535
    with contextlib.suppress(CredentialError):
        assert 1 <= len(Secret.parse(text)) <= 256


def psk_identity(octets: bytes) -> None:
    """The readers of the psk_identity, over TLS and DTLS: never longer than allowed, never an exception."""
    stream = StreamIdentityReader()
    stream.suite = PSK_SUITES[-1]
    buffer = bytearray(octets)
    while (record := take_record(buffer)) is not None and record:
        found = stream.read(record)
        assert found is None or len(found) <= 255
    datagrams = DatagramIdentityReader()
    datagrams.suite = PSK_SUITES[-1]
    for record in split_datagram(octets):
        found = datagrams.read(record)
        assert found is None or len(found) <= 255
    for _ in datagram_fragments(octets):
        pass
    StreamIdentityReader().wrote(octets, datagram=False)
    DatagramIdentityReader().wrote(octets, datagram=True)


def session(octets: bytes) -> None:
    """A whole server session on octets from a stranger: no exception, and no handshake without the key."""
    server = Session(SERVER)
    for start in range(0, len(octets), 300):
        server.receive(octets[start : start + 300])
        server.data_to_send()
        if server.state is State.RESOLVING:
            server.answer(None)
    assert server.state not in {State.WITHHOLDING, State.OPEN}


def resources(octets: bytes) -> None:
    """The content of a request or an answer: refused by the one error, or it comes back as it was read."""
    try:
        content = json.loads(octets)
    except (ValueError, RecursionError):
        return
    for resource in (
        SymmetricKeyRegistration,
        MafClientRegistration,
        MefClientRegistration,
        MefClientCommand,
        BootstrappingInfo,
    ):
        for decode in (resource.decode_request, resource.decode_answer):
            with contextlib.suppress(MessageError):
                decoded = decode(content)
                assert resource.decode_answer(decoded.encode()) == decoded
    with contextlib.suppress(MessageError):
        arguments = CommandDescription.decode(content).parsed()
        if arguments is not None:
            assert type(arguments).decode(arguments.encode()) == arguments


def http_segments(octets: bytes) -> None:
    """The path of a request: its segments, none of which is split again."""
    with contextlib.suppress(RefusedError):
        request = request_primitive(Operation.RETRIEVE, path_segments(octets), "/a", "1")
        assert 1 <= len(request.to) <= octets.count(b"/") + 1


def bodies(octets: bytes) -> None:
    """The body of a request and of an answer, after the digits of its status: read or refused."""
    with contextlib.suppress(RefusedError):
        read_content(octets, LIMITS, is_json=True)
    status, _, body = octets.partition(b"\n")
    with contextlib.suppress(MessageError):
        content = read_response(status, body, LIMITS).content
        assert content is None or isinstance(content, dict)


def json_primitives(octets: bytes) -> None:
    """A primitive in a text frame: what is read is read again as it is written, or refused."""
    with contextlib.suppress(MessageError, RefusedError, UnicodeDecodeError):
        primitive = read_primitive(octets.decode())
        if not is_request(primitive):
            answer = read_answer(primitive)
            written = read_primitive(write_response(answer, request_id_of(primitive)))
            assert json.dumps(read_answer(written).content) == json.dumps(answer.content)
            return
        request = read_request(primitive, "maf.example")
        assert 1 <= len(request.request_id) <= 255
        asked = Asked(
            request.operation, request.to, request.content, request.resource_type, request.request_id
        )
        again = read_request(read_primitive(write_request(asked, request.originator)), "maf.example")
        assert json.dumps(dataclasses.asdict(again)) == json.dumps(dataclasses.asdict(request))


def carried_over_http(octets: bytes) -> None:
    """A request and an answer that are carried on: the request line, header fields, and whatever follows."""
    line, *fields = octets.split(b"\n")
    method, _, target = line.decode("latin-1").partition(" ")
    path, _, query = target.encode("latin-1").partition(b"?")
    headers = [(name, value) for name, _, value in (field.partition(b": ") for field in fields)]
    with contextlib.suppress(RefusedError):
        request = http_request(HttpRequestHead(method, path, query, headers))
        assert to_of_path(path_of(request.to).encode()) == to_of(segments_of(request.to)) == request.to
        written = write_http(request)
        path, _, query = written.target.encode().partition(b"?")
        headers = [(name.encode(), value.encode()) for name, value in written.headers]
        assert http_request(HttpRequestHead(written.method, path, query, headers)) == request
    with contextlib.suppress(MessageError):
        answer = http_response(headers)
        again = [(name.encode(), value.encode()) for name, value in write_http_response(answer)[1]]
        assert http_response(again).rsc == answer.rsc


def carried_over_coap(octets: bytes) -> None:
    """A request or an answer that is carried on, as a CoAP message."""
    with contextlib.suppress(UnparsableMessage, RefusedError, MessageError):
        message, _ = read_message(octets, None)
        if message.code.is_request():
            request = coap_request(message)
            assert coap_request(write_coap(request)) == request
            write_http(request)
        else:
            write_http_response(coap_response(message))


def fetched_credentials(octets: bytes) -> None:
    """What an MEF tells an Enrolment Target: refused by the one error, or it comes back as it was read."""
    try:
        content = json.loads(octets)
    except (ValueError, RecursionError):
        return
    with contextlib.suppress(MessageError):
        fetched = FetchedCredential.decode(content)
        assert fetched is None or FetchedCredential.decode(fetched.encode()) == fetched


def diameter(octets: bytes) -> None:
    """A Diameter message of a NAF or a BSF: what is read is written and read again."""
    with contextlib.suppress(MessageError):
        message = DiameterMessage.parse(octets)
        written = message.octets()
        assert DiameterMessage.parse(written).octets() == written
        with contextlib.suppress(MessageError, IdentifierError):
            BootstrappingInfoRequest.decode(message)
        with contextlib.suppress(MessageError):
            decode_naf_key(KeyIdentifier("0" * 32, Fqdn("bsf.example.com")), message)
        with contextlib.suppress(MessageError):
            MultimediaAuthRequest.decode(message)
        with contextlib.suppress(MessageError):
            MultimediaAuthAnswer.decode(message)
    with contextlib.suppress(MessageError):
        settings = UserSecuritySettings.decode(octets)
        with contextlib.suppress(MessageError):
            assert UserSecuritySettings.decode(settings.encode_guss("a@b.example")) == settings


def bootstrapping_info(octets: bytes) -> None:
    """What a BSF tells a UE at the end of Ub."""
    with contextlib.suppress(SecurityFrameworkError):
        info = UbBootstrappingInfo.parse(octets)
        assert UbBootstrappingInfo.parse(info.to_xml()).b_tid == info.b_tid


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        identifiers,
        texts,
        psk_identity,
        session,
        resources,
        http_segments,
        bodies,
        json_primitives,
        carried_over_http,
        carried_over_coap,
        fetched_credentials,
        diameter,
        bootstrapping_info,
    )
}


def _hello() -> bytes:
    from onem2m_security.tls.endpoint import PskOffer

    client = Session(Endpoint(server=False), offer=PskOffer(b"km@maf.example.com", Secret(bytes(32))))
    return client.data_to_send()


SEEDS: dict[str, list[bytes]] = {
    "identifiers": [
        b"km@maf.example.com",
        b"ABEiM0RVZneImaq7zN3u/w==@m.example",
        b"//sp.example/cse/Cae",
        b"0" * 32 + b"@m",
    ],
    "texts": [
        "b\u00fccher.example".encode(),
        b"11-km@maf.example.com",
        b"[::1]:5684",
        b"hex:00ff",
        b"base64:AAAA",
        b"text:123456",
    ],
    "psk_identity": [
        bytes.fromhex("160303000a10000006000461406d78"),
        bytes.fromhex("16fefd00000000000000000012100000060002000000000006000461406d78"),
        _hello(),
    ],
    "session": [_hello()],
    "resources": [
        b'{"sec:skr":{"et":"20300101T000000","suid":32,"tgis":["/b"],"adfq":"a.example","kv":"AAAA","lbl":["x"]}}',
        b'{"sec:skr":{"rkid":"00","src":"/a","et":"20300101T000000"}}',
        b'{"sec:mefcc":{"cmid":"00","cmst":10,"cmde":{"ccid":0,"carg":{"nmca":{"rtyd":"PT1H"}},"tgid":"/a"}}}',
        b'{"ccid":1,"carg":{"cpca":{"cpp":1,"uri":"https://mef.example/est","cst":3,"csid":"/a/Cb"}}}',
        b'{"ccid":3,"carg":{"moca":{"obp":"./a","obt":1,"otsa":{"suid":21}}}}',
        b'{"sec:mafcr":{"crid":"00","cid":"/a","aski":"km@maf.example","et":"20300101T000000"}}',
        b'{"gba:bi":{"kv":"AAAA","kty":"Ks_NAF","bt":"20300101T000000","et":"20300101T000000","src":"Ca"}}',
    ],
    "bodies": [b'{"sec:skr":{}}', b'2000\n{"sec:skr":{}}', b"4004\n"],
    "json_primitives": [
        b'{"op":1,"to":"/maf/symmKeyReg","fr":"/a","rqi":"1","ty":65001,"rvi":"3","pc":{"sec:skr":{}}}',
        b'{"op":2,"to":"//maf.example/x%2F/y","fr":"/a","rqi":"1"}',
        b'{"rsc":2001,"rqi":"1","pc":{"sec:skr":{}}}',
    ],
    "carried_over_http": [
        b"POST /~/cse-id/cse?rcn=1&fu=1\nX-M2M-RI: 1\nX-M2M-Origin: C\nContent-Type: application/json;ty=2",
        b"GET /_/sp.example/cse-id/x%2Fy\nX-M2M-RI: 1\nAccept: a/b\nX-M2M-EC: 4",
        b"GET /\nX-M2M-RSC: 2000\nX-M2M-RI: 1\nContent-Location: /cse/x",
    ],
    "carried_over_coap": [
        bytes.fromhex(
            "4402000174657374b17e066373652d69640363736511323572636e3d3106746b6e733d61d1e7788102413381434131d10704ff7b7d"
        ),
        bytes.fromhex("4441000174657374836373650161413220e1000031d20b07d1ff7b7d"),
    ],
    "fetched_credentials": [
        (
            b'{"Status":true,"Credential":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","EnroleeID":"/a",'
            b'"Lifetime":9}'
        ),
        b'{"Status":false}',
    ],
    "diameter": [
        DiameterMessage.request(BOOTSTRAPPING_INFO, APPLICATION_ZN, [(NAF_ID, b"abc")]).octets(),
        b'<ussList><uss id="1000000" type="0"><uids><uid>/a</uid></uids></uss></ussList>',
    ],
    "bootstrapping_info": [
        (
            b'<BootstrappingInfo xmlns="uri:3gpp-gba"><btid>AAAAAAAAAAAAAAAAAAAAAA==@b.example</btid>'
            b"<lifetime>2030-01-02T03:04:05Z</lifetime></BootstrappingInfo>"
        )
    ],
    "http_segments": [b"/maf/symmKeyReg/ABEiM0RVZneImaq7zN3u%2Fw%3D%3D", b"/a/b/../%FF?x"],
}

TARGETS.update(strangers.TARGETS)
SEEDS.update(strangers.SEEDS)

with contextlib.suppress(ConfigurationError):  # a machine without GnuTLS: nothing of it to fuzz
    import key_pairs

    TARGETS.update(key_pairs.TARGETS)
    SEEDS.update(key_pairs.SEEDS)
