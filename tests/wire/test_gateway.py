"""A gateway in front of a CSE: what passes, what does not, and in which form, octet by octet."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace

import aiocoap
import pytest
from aiocoap.optiontypes import OpaqueOption

from gateway_support import PlayedCse, Seen, answer_on, answered, gateway, initiator, request
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.coap import CoapClient
from onem2m_security.net.coap_messages import FROM, REQUEST_ID
from onem2m_security.net.http_client import HttpClient
from onem2m_security.onem2m.carried import CarriedRequest
from onem2m_security.onem2m.primitives import Operation

GET = CarriedRequest(Operation.RETRIEVE, "cse/x", "r", originator="Cae", release_version="3")


def client_of(running, transport: Transport, who: str = "ae") -> HttpClient | CoapClient:
    kind = CoapClient if transport is Transport.DTLS else HttpClient
    return kind(running.link(transport), initiator(who))


async def test_a_request_and_its_answer_pass_as_they_are():
    content, more = b"<m2m:cnt>\xc3\xbc</m2m:cnt>", ["Content-Type: application/xml", "X-M2M-RVI: 3"]
    more += ["X-M2M-OT: 20300101T000000", "Content-Location: /cse/x/1", "ETag: 7", "X-M2M-Origin: /in-cse"]

    async def create(seen: Seen) -> bytes:
        return answered(content, rsc=2001, status=201, more=more)

    cse = PlayedCse()
    cse.answer = create
    async with gateway(cse=cse) as running:
        asked = request(
            "POST",
            "/_/sp.example/in-cse/cse/a%2Fb/c/d/e/f/g/h/i/j?rcn=3&lbl=a%26b&ty=2+3",
            "Content-Type: application/vnd.onem2m-res+xml; ty=3",
            "Accept: application/xml",
            "X-M2M-VSI: maker",
            "X-M2M-RET: 20300101T000000",
            body=content,
        )
        status, headers, body = await running.ask(asked)
    assert (status, body) == (201, content)
    assert (
        headers.items()
        >= {
            "x-m2m-rsc": "2001",
            "x-m2m-ri": "r",
            "x-m2m-rvi": "3",
            "x-m2m-ot": "20300101T000000",
            "x-m2m-origin": "/in-cse",
            "content-type": "application/xml",
            "content-location": "/cse/x/1",
            "etag": "7",
        }.items()
    )
    [seen] = cse.seen
    assert seen.line == "POST /_/sp.example/in-cse/cse/a%2Fb/c/d/e/f/g/h/i/j?rcn=3&lbl=a%26b&ty=2+3 HTTP/1.1"
    assert seen.body == content
    assert {name.lower(): value for name, value in seen.headers}.items() >= {
        "x-m2m-origin": "Cae",
        "x-m2m-ri": "r",
        "x-m2m-rvi": "3",
        "x-m2m-vsi": "maker",
        "x-m2m-ret": "20300101T000000",
        "accept": "application/xml",
        "content-type": "application/vnd.onem2m-res+xml;ty=3",
    }.items()


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("transport", Transport)
async def test_every_operation_passes_over_tls_and_dtls(operation, transport):
    content = b"\xa1aa\x01" * 700 if operation in {1, 3, 5} else b""
    asked = replace(
        GET,
        operation=operation,
        resource_type=4 if operation == 1 else None,
        query="rcn=1",
        content=content,
        content_type="application/cbor" if content else "",
    )
    async with gateway() as running:
        client = client_of(running, transport)
        answer = await client.carry(asked)
        await client.close()
    assert (answer.rsc, answer.request_id) == (2000, "r")
    notified = operation is Operation.NOTIFY and transport is Transport.DTLS
    assert answer.content == (b"" if notified else b"{}")
    [seen] = running.cse.seen
    assert seen.line.split()[:2] == [
        {1: "POST", 2: "GET", 3: "PUT", 4: "DELETE", 5: "POST"}[operation],
        "/cse/x?rcn=1",
    ]
    assert seen.body == content
    typed = {1: ["application/cbor;ty=4"], 3: ["application/cbor"], 5: ["application/cbor"]}
    assert seen.all_of("content-type") == typed.get(operation, [])


IMPOSTORS = [
    ("CAdmin", []),
    ("Csecond", []),
    ("cae", []),
    ("C%61e", []),
    ("/in-cse/Csecond", []),
    ("//other.example/in-cse/Cae", []),
    ("Cae, CAdmin", []),
    ("", []),
    (None, []),
    ("C", []),
    (None, ["X_M2M_Origin: CAdmin"]),
    ("CAdmin", ["X-M2M-Origin-: Cae", "X-M2M-Origin.: Cae"]),
]


@pytest.mark.parametrize(("originator", "more"), IMPOSTORS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_an_impostor_is_refused_in_each_form_and_the_cse_never_sees_it(
    running, method, originator, more
):
    status, headers, _ = await running.ask(request(method, "/cse/x", *more, originator=originator))
    assert (status, headers["x-m2m-rsc"]) == (403, "4106")
    assert running.cse.seen == []


@pytest.mark.parametrize(
    "wrong",
    [
        request("GET", "/cse/x", "X-M2M-Origin: CAdmin"),
        request("GET", "/cse/x", "x-m2m-origin: Cae"),
        request("GET", "/cse/x?fr=CAdmin"),
        request("GET", "/cse/x?rcn=1&%66r=CAdmin"),
        request("GET", "/cse/x?op=1&pc=x"),
        request("GET", "//cse/x"),
        request("POST", "/cse", "Content-Type: application/json;ty=2;ty=3", body=b"{}"),
        request("POST", "/cse", 'Content-Type: application/json;x=";ty=2"', body=b"{}"),
        request("POST", "/cse", "Content-Type: application/json;ty=2x", body=b"{}"),
        request("GET", "/cse/x", "X-M2M-RI: other"),
    ],
)
async def test_what_two_receivers_could_read_in_two_ways_is_a_bad_request(running, wrong):
    status, headers, _ = await running.ask(wrong)
    assert (status, headers["x-m2m-rsc"]) == (400, "4000")
    assert running.cse.seen == []


@pytest.fixture
async def running():
    async with gateway() as one:
        yield one


INNER = request("GET", "/cse/secret", originator="CAdmin")
POST, BY_AE = b"POST /cse/x HTTP/1.1\r\nHost: c\r\nX-M2M-RI: r\r\n", b"X-M2M-Origin: Cae\r\n"
SMUGGLED = {
    "two lengths": POST + BY_AE + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "a length and chunks": POST
    + BY_AE
    + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(INNER) + 5)
    + INNER,
    "chunks spelt otherwise": POST
    + BY_AE
    + b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n" % len(INNER)
    + INNER,
    "a folded header": POST + b"X-Other: a\r\n X-M2M-Origin: CAdmin\r\n" + BY_AE + b"\r\n",
    "a space before the colon": POST + b"X-M2M-Origin : CAdmin\r\n" + BY_AE + b"\r\n",
    "a line feed alone": POST + b"X: a\nX-M2M-Origin: CAdmin\r\n" + BY_AE + b"\r\n",
    "a carriage return alone": POST + b"X: a\rX-M2M-Origin: CAdmin\r\n" + BY_AE + b"\r\n",
    "a body in a GET": request("GET", "/cse/x", body=INNER),
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_no_request_is_smuggled_inside_another(running, name):
    async with running.associated() as channel:
        await channel.write(SMUGGLED[name])
        for _ in range(3):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await channel.read()
    assert all(seen.all_of("x-m2m-origin") == ["Cae"] for seen in running.cse.seen)
    assert not any("secret" in seen.line for seen in running.cse.seen)
    assert len(running.cse.seen) <= 1


async def test_each_request_of_one_connection_is_looked_at(running):
    async with running.associated() as channel:
        await channel.write(request(ri="1") + request(originator="CAdmin", ri="2") + request(ri="3"))
        received = b""
        while received.count(b"X-M2M-RI") + received.count(b"x-m2m-ri") < 3:
            received += await channel.read()
    assert [seen.all_of("x-m2m-ri") for seen in running.cse.seen] == [["1"], ["3"]]


async def test_what_the_association_has_proven_is_told_in_headers_that_no_client_can_set():
    async with gateway(tells=True) as running:
        forged = ["X-Association-Peer: CAdmin", "X_Association_Peer: CAdmin", "X-Forwarded-For: 1.2.3.4"]
        await running.ask(request("GET", "/cse/x", *forged, "Connection: X-Association-Peer"))
        await running.ask(
            request("POST", "/cse", "Content-Type: application/json;ty=2", originator="C"), "unknown"
        )
    first, second = running.cse.seen
    assert first.all_of("x-association-peer") == ["//sp.example/in-cse/Cae"]
    assert first.all_of("x-association-credential-id") == ["12-ae@m.example"]
    assert first.all_of("x-association-framework") == ["saef-psk"]
    assert "CAdmin" not in first.octets.decode()
    assert "1.2.3.4" not in first.octets.decode()
    assert second.all_of("x-association-peer") == []
    assert second.all_of("x-association-credential-id") == ["12-unknown@m.example"]


async def test_without_the_setting_nothing_is_told(running):
    await running.ask(request())
    assert [name for name, _ in running.cse.seen[0].headers if "ssociation" in name] == []


async def test_texts_beyond_ascii_pass_as_they_are(running):
    async def answer(seen: Seen) -> bytes:
        return answered(more=["X-M2M-VSI: ü€"], ri=seen.all_of("x-m2m-ri")[0])

    running.cse.answer = answer
    async with running.associated() as channel:
        await channel.write(request("GET", "/cse/%C3%BC%e2%82%ac", "X-M2M-VSI: ü€", ri="€1"))
        status, headers, _ = await answer_on(channel)
    assert (status, headers["x-m2m-ri"], headers["x-m2m-vsi"]) == (200, "€1", "ü€")
    [seen] = running.cse.seen
    assert seen.line == "GET /cse/%C3%BC%E2%82%AC HTTP/1.1"
    assert seen.all_of("x-m2m-vsi") == ["ü€"]


@pytest.mark.parametrize(
    "twice", [[(FROM, b"Cae"), (FROM, b"CAdmin")], [(FROM, b"CAdmin"), (FROM, b"Cae")], [(FROM, b"CAdmin")]]
)
async def test_a_coap_impostor_is_refused_and_the_cse_never_sees_it(running, twice):
    message = aiocoap.Message(code=aiocoap.GET)
    message.mtype, message.mid, message.token = aiocoap.CON, 1, b"t"
    message.opt.uri_path = ("cse", "x")
    for number, value in [*twice, (REQUEST_ID, b"r")]:
        message.opt.add_option(OpaqueOption(number, value))
    async with await open_channel(running.link(Transport.DTLS), initiator("ae")) as channel:
        await channel.write(message.encode())
        answer = aiocoap.Message.decode(await channel.read())
    assert str(answer.code).split()[0] in {"4.02", "4.03"}
    assert running.cse.seen == []


# --- registrations ---


def registering(aei: str, *, rsc: int = 2001):
    async def answer(seen: Seen) -> bytes:
        if seen.line.startswith("DELETE"):
            return answered(rsc=2002, ri=seen.all_of("x-m2m-ri")[0])
        body = json.dumps({"m2m:ae": {"aei": aei, "ri": aei}}).encode()
        return answered(body, rsc=rsc, status=201, more=["Content-Type: application/json"])

    return answer


REGISTER = ("POST", "/cse", "Content-Type: application/json;ty=2")


@pytest.mark.parametrize("originator", ["C", "S", "", None])
async def test_an_ae_id_that_the_cse_assigns_belongs_to_the_credential(originator):
    cse = PlayedCse()
    cse.answer = registering("Cnew")
    async with gateway(cse=cse) as running:
        status, _, body = await running.ask(request(*REGISTER, originator=originator, body=b"{}"), "unknown")
        assert (status, json.loads(body)["m2m:ae"]["aei"]) == (201, "Cnew")
        assert (await running.ask(request(originator="Cnew"), "unknown"))[0] == 201
        for who, claimed in (("stranger", "Cnew"), ("ae", "Cnew"), ("unknown", "Cother"), ("unknown", "Cae")):
            for asked in (request(originator=claimed), request(*REGISTER, originator=claimed, body=b"{}")):
                if (who, claimed, asked[:4]) != ("unknown", "Cother", b"POST"):
                    assert (await running.ask(asked, who))[1]["x-m2m-rsc"] == "4106"
    assert {one for seen in cse.seen for one in seen.all_of("x-m2m-origin")} <= {"C", "S", "Cnew"}


async def test_an_ae_id_that_is_not_the_proven_one_is_not_passed_on_and_nothing_of_it_is_left():
    cse = PlayedCse()
    cse.answer = registering("Cother")
    async with gateway(cse=cse) as running:
        status, headers, body = await running.ask(request(*REGISTER, originator="C", body=b"{}"))
    assert (status, headers["x-m2m-rsc"]) == (403, "4106")
    assert "register as //sp.example/in-cse/Cae" in json.loads(body)["m2m:dbg"]
    assert b"Cother" not in body
    _, deleted = cse.seen
    assert deleted.line == "DELETE /Cother HTTP/1.1"
    assert deleted.all_of("x-m2m-origin") == ["Cother"]


async def test_a_registration_that_the_cse_refuses_binds_nothing(running):
    running.cse.answer = registering("Cnew", rsc=4105)
    assert (await running.ask(request(*REGISTER, originator="C", body=b"{}"), "unknown"))[0] == 409
    assert len(running.bound) == 0


async def test_a_cse_passes_on_the_requests_of_others_and_none_of_ours(running):
    for originator in ("/mn-cse", "/mn-cse/Cfar", "//far.example/cse/Cx", "Sfar"):
        assert (await running.ask(request(originator=originator), "mn"))[0] == 200
    for originator in ("Cae", "CAdmin", "/in-cse/Cae", "/in-cse", ""):
        assert (await running.ask(request(originator=originator), "mn"))[1]["x-m2m-rsc"] == "4106"
    assert len(running.cse.seen) == 4
