"""What a key retrieval costs: Entity B asks a MAF for Kc over HTTP, again and again in one session.

It is told in handshakes of s_server, so that it can be told beside the handshakes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from onem2m_security.clients.maf import MafClient
from onem2m_security.credentials import ResolvedKey
from onem2m_security.frameworks import maf_handshake
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.http_client import path_component
from onem2m_security.net.link import Link
from onem2m_security.net.loop import run
from onem2m_security.onem2m.paths import MAF_SYMM_KEY_REG

from . import compare, peers
from .bench import Bench, turn
from .load import Load
from .provision import KM, MAF, TARGET, TARGET_KM_ID, client, identity_of
from .running import Server
from .servers import maf, provisioned

REFERENCE = "one handshake of openssl s_server"
NAME = "key retrieval"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at-once", type=int, default=8)


async def _registered(server: Server) -> str:
    """The identifier of a Kc that client 0 has made for the target."""
    credential: ResolvedKey = maf_handshake.credential(KeyIdentifier.parse_km_id(identity_of(0)), KM)
    initiator = maf_handshake.initiate(client(0), MAF, credential)
    made = await MafClient(MAF, Link(Address("127.0.0.1", server.port)), initiator).handshake()
    return made.kc_id.relative


def _request(path: Path, relative: str) -> Path:
    path.write_text(
        f"GET {path_component((*MAF_SYMM_KEY_REG, relative))} HTTP/1.1\r\nHost: {MAF}\r\n"
        f"X-M2M-Origin: {TARGET}\r\nX-M2M-RI: 1\r\nX-M2M-RVI: 3\r\nAccept: application/json\r\n\r\n"
    )
    return path


def measure(bench: Bench) -> None:
    seconds, at_once = bench.options.seconds, bench.options.at_once
    contenders = {REFERENCE: turn(bench.run(peers.s_server()), Load(at_once=at_once, seconds=seconds))}
    for tree in bench.trees:
        directory = bench.directory(tree.name or "working")
        provisioned(tree, "maf", directory / "maf", 1)
        server = bench.run(maf(tree, directory / "maf"))
        request = _request(directory / "request", run(_registered(server)))
        asking = Load(at_once=at_once, seconds=seconds, identity=str(TARGET_KM_ID), request=request)
        contenders[tree.called(NAME)] = turn(server, asking)
    turns = bench.compare(contenders, REFERENCE, unit="answer")
    bench.reached("retrieval", compare.cost(turns, NAME, REFERENCE).median)
