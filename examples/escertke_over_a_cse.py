"""Two AEs agree on a key through a CSE that does not learn it (ESCertKE, TS-0003 clause 8.7).

    python examples/escertke_over_a_cse.py --cse http://127.0.0.1:8080/cse-in --originator-cse id-in

Any CSE with the HTTP binding will do; ``pip install acmecse`` brings one. Both AEs register with it. The
terminating AE gives a point of access, where the CSE delivers NOTIFY requests; the initiating AE has none and
needs none, since every answer comes in a response. Its web server comes with ``onem2m-security[server]``.

TS-0004 puts the securityInfo into a NOTIFY as it is (``--form security-info``). The ACME CSE forwards nothing
but notifications of resources, so that the default here has it as the representation in one
(``--form single-notification``); the responses are the same.

The connections between AE and CSE are plain HTTP here: what the CSE cannot read or alter unnoticed, nobody
before it can. To an attacker who may drop messages, TLS on these hops (``associate``) is the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

import httpcore
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from onem2m_security import (
    AssociationConfiguration,
    Authority,
    EntityId,
    EscertkeNotifications,
    Flavour,
    InitiatingEndPoint,
    LocalCertificate,
    NotificationForm,
    Operation,
    PairwiseE2EKey,
    PeerRefusedError,
    PeerVerifier,
    Release,
    Request,
    Response,
    Rsc,
    TerminatingExchanges,
    escertke,
    permitted_names,
)

SERVICE_PROVIDER = "sp.example"
BODY_MAX_OCTETS = 64 * 1024
ACP, AE = 1, 2
NOTIFY_ALLOWED, EVERYTHING_ALLOWED = 16, 63


class Ae:
    """An AE's side of Mca: requests to its registrar CSE over HTTP (TS-0009)."""

    def __init__(self, cse: str, originator: str) -> None:
        """Talk to this CSEBase as this originator."""
        self._cse = cse.rstrip("/")
        self.originator = originator
        self._pool = httpcore.AsyncConnectionPool()

    async def request(
        self, method: str, path: str, content: Mapping[str, Any], resource_type: int | None = None
    ) -> Response:
        """Send a request primitive and give its response."""
        kind = "" if resource_type is None else f";ty={resource_type}"
        headers = [
            ("X-M2M-Origin", self.originator),
            ("X-M2M-RI", secrets.token_hex(8)),
            ("X-M2M-RVI", "3"),
            ("Accept", "application/json"),
            ("Content-Type", f"application/json{kind}"),
        ]
        body = json.dumps(content).encode()
        answer = await self._pool.request(method, self._cse + path, headers=headers, content=body)
        found = {name.lower(): value for name, value in answer.headers}
        rsc = int(found.get(b"x-m2m-rsc", b"5000"))
        text = json.loads(answer.content) if answer.content else None
        if rsc // 1000 != 2:
            raise PeerRefusedError(f"{method} {path or '/'} was answered with {rsc}: {text}", rsc=rsc)
        return Response(Rsc(rsc), text)

    async def register(self, name: str, **attributes: object) -> None:
        """Create the <AE> resource."""
        await self.request("POST", "", {"m2m:ae": {"rn": name, "api": "Nescertke", **attributes}}, AE)

    async def close(self) -> None:
        """End the connections."""
        await self._pool.aclose()


class TerminatingAe:
    """The AE that is asked: an HTTP server at which its registrar CSE delivers NOTIFY requests."""

    def __init__(self, exchanges: TerminatingExchanges) -> None:
        """Answer by these exchanges."""
        self.keys: list[PairwiseE2EKey] = []
        self._notifications = EscertkeNotifications(exchanges, self._keep)
        application = Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])])
        config = uvicorn.Config(
            application, host="127.0.0.1", port=0, log_level="warning", lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen; gives the point of access."""
        self._running = asyncio.create_task(self._server.serve())
        while not self._server.started:
            if self._running.done():
                raise SystemExit("the terminating AE cannot listen on 127.0.0.1")
            await asyncio.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Listen no more."""
        self._server.should_exit = True
        if self._running is not None:
            await self._running

    async def _keep(self, key: PairwiseE2EKey) -> None:
        self.keys.append(key)

    async def _answer(self, http: HttpRequest) -> JSONResponse:
        body = bytearray()
        async for piece in http.stream():
            body += piece
            if len(body) > BODY_MAX_OCTETS:
                return JSONResponse(None, status_code=413)
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            content = None
        originator, request_id = http.headers.get("x-m2m-origin", ""), http.headers.get("x-m2m-ri", "")
        request = Request(Operation.NOTIFY, (), originator, request_id, content)
        response = await self._notifications.handle(request)
        headers = {"X-M2M-RSC": str(int(response.rsc)), "X-M2M-RI": request_id, "X-M2M-RVI": "3"}
        return JSONResponse(
            response.content, status_code=200 if response.rsc is Rsc.OK else 400, headers=headers
        )


def certificates(*entities: EntityId) -> tuple[list[LocalCertificate], list[PeerVerifier]]:
    """A certificate for each AE from one authority, and what recognises each (TS-0003 clause 8.1.2.4)."""
    root = Authority.root("Example root")
    authority = root.intermediate("Example CA", permitted=permitted_names(uri_hosts=[SERVICE_PROVIDER]))
    issued = [authority.issue(Flavour.AE_ID, str(entity)) for entity in entities]
    anchors = (root.certificate,)
    local = [LocalCertificate.from_octets(one.chain_pem, one.key_pem) for one in issued]
    recognise = [
        PeerVerifier(
            [
                AssociationConfiguration.release3(
                    flavour=Flavour.AE_ID, peer_id=str(entity), trust_anchors=anchors
                )
            ],
            release=Release.R3,
        )
        for entity in entities
    ]
    return local, recognise


async def run(cse: str, originator_cse: str, form: NotificationForm) -> dict[str, Any]:
    """Register both AEs, establish a key between them through the CSE, and say what each holds."""
    names = [f"Cinitiating{secrets.token_hex(3)}", f"Cterminating{secrets.token_hex(3)}"]
    ids = [EntityId.parse(f"//{SERVICE_PROVIDER}/{originator_cse}/{name}") for name in names]
    local, recognise = certificates(*ids)
    initiating_ae, administering_ae = (Ae(cse, name) for name in names)
    terminating = TerminatingAe(
        TerminatingExchanges(escertke.acceptor(ids[1], certificate=local[1], verifier=recognise[0]))
    )
    end_point = InitiatingEndPoint(
        escertke.initiator(ids[0], ids[1], certificate=local[0], verifier=recognise[1])
    )

    async def notify(content: Mapping[str, Any]) -> Response:
        return await initiating_ae.request("POST", f"/{names[1]}", content)

    try:
        await initiating_ae.register(names[0], rr=False, srv=["3"])
        await administering_ae.register(names[1], rr=True, srv=["3"], poa=[await terminating.start()])
        await _permit(administering_ae, names[1], initiator_name=names[0])
        key = await escertke.establish(end_point, notify, form=form)
    finally:
        await initiating_ae.close()
        await administering_ae.close()
        await terminating.stop()
    return {
        end: {
            "peer": str(held.peer),
            "pairwiseE2EKeyID": held.key_id.hex(),
            "fingerprint": held.key.fingerprint,
            "expires": None if held.expires is None else held.expires.isoformat(),
        }
        for end, held in (("initiating", key), ("terminating", terminating.keys[0]))
    }


async def _permit(ae: Ae, name: str, *, initiator_name: str) -> None:
    """Let the initiating AE notify this one: a CSE forwards a NOTIFY only to who allows it."""
    rules = [
        {"acor": [initiator_name], "acop": NOTIFY_ALLOWED},
        {"acor": [ae.originator], "acop": EVERYTHING_ALLOWED},
    ]
    policy = {"rn": f"acp-{name}", "pv": {"acr": rules}, "pvs": {"acr": rules[1:]}}
    made = await ae.request("POST", f"/{name}", {"m2m:acp": policy}, ACP)
    identifier = (made.content or {})["m2m:acp"]["ri"]
    await ae.request("PUT", f"/{name}", {"m2m:ae": {"acpi": [identifier]}})


def main() -> None:
    """Parse the command line and print the result as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--cse", required=True, help="URL of the CSEBase, such as http://127.0.0.1:8080/cse-in"
    )
    parser.add_argument("--originator-cse", required=True, help="The CSE's relative CSE-ID, such as id-in")
    parser.add_argument(
        "--form",
        choices=[form.value for form in NotificationForm],
        default=NotificationForm.SINGLE_NOTIFICATION.value,
        help="How a NOTIFY request holds the securityInfo.",
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)  # on standard error
    try:
        result = asyncio.run(run(given.cse, given.originator_cse, NotificationForm(given.form)))
    except PeerRefusedError as error:
        raise SystemExit(f"escertke_over_a_cse: {error}") from None
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
