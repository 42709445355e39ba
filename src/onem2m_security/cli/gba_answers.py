"""Known answers of GBA: what the algorithm sets, AKA, a bootstrapping and a NAF make of fixed inputs.

The inputs of MILENAGE and TUAK are those of test sets of 3GPP, so that their documents have the answers too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ..credentials import Secret
from ..gba import digest, keys
from ..gba.aka import SequenceNumber, authentication_vector, build_auts
from ..gba.algorithm import AuthenticationFunctions
from ..gba.tuak import Tuak, topc_from_top
from ..identifiers import Fqdn
from ..tls.suites import BY_CODE

if TYPE_CHECKING:
    from ..gba.milenage import Milenage

_MILENAGE: Final = {
    "k": "465b5ce8b199b49faa5f0a2ee238a6bc",
    "op": "cdc202d5123e20f62b6d676ac72cb318",
    "rand": "23553cbe9637a89d218ae64dae47bf35",
    "sqn": "ff9bb4d0b607",
    "amf": "b9b9",
}
"""TS 35.208 clause 4.3, test set 1."""
_TUAK: Final = {
    "k": "ab" * 16,
    "top": "55" * 32,
    "rand": "42" * 16,
    "sqn": "11" * 6,
    "amf": "ffff",
}
"""TS 35.233 clause 6.3: one iteration, RES of 4 octets."""
_IMPI: Final = keys.Impi("001010000000001@operator.example")
_BSF: Final = Fqdn("bsf.operator.example")
_NAF: Final = Fqdn("in-cse.sp.example")
_SUITES: Final = (0x00AE, 0xC037)


def gba_answers() -> dict[str, list[dict[str, Any]]]:
    """All vectors of GBA, by what they are of."""
    from ..gba.milenage import Milenage, opc_from_op

    k = Secret.parse(f"hex:{_MILENAGE['k']}")
    opc = opc_from_op(k, Secret.parse(f"hex:{_MILENAGE['op']}"))
    milenage = Milenage(k, opc)
    k_tuak = Secret.parse(f"hex:{_TUAK['k']}")
    topc = topc_from_top(k_tuak, Secret.parse(f"hex:{_TUAK['top']}"))
    tuak = Tuak(k_tuak, topc, res_octets=4)
    return {
        "milenage": [{"clause": "TS 35.206 4.1", **_functions(milenage, _MILENAGE, opc=opc)}],
        "tuak": [{"clause": "TS 35.231 6", **_functions(tuak, _TUAK, topc=topc)}],
        "aka": [_aka(milenage, {**_MILENAGE, "opc": opc.reveal().hex()})],
        "gba": [*_gba(milenage)],
    }


def _functions(functions: AuthenticationFunctions, inputs: dict[str, str], **made: Secret) -> dict[str, Any]:
    rand, sqn, amf = (bytes.fromhex(inputs[name]) for name in ("rand", "sqn", "amf"))
    outputs = functions.f2345(rand)
    values = {name: key.reveal() for name, key in made.items()} | {
        "f1": functions.f1(rand, sqn, amf),
        "f1_star": functions.f1_star(rand, sqn, amf),
        "f2": outputs.res.reveal(),
        "f3": outputs.ck.reveal(),
        "f4": outputs.ik.reveal(),
        "f5": outputs.ak,
        "f5_star": functions.f5_star(rand),
    }
    return {"inputs": inputs, "values": {name: value.hex() for name, value in values.items()}}


def _aka(functions: Milenage, inputs: dict[str, str]) -> dict[str, Any]:
    rand, sqn, amf = (bytes.fromhex(inputs[name]) for name in ("rand", "sqn", "amf"))
    number = SequenceNumber.from_octets(sqn)
    vector = authentication_vector(functions, sqn=number, amf=amf, rand=rand)
    of_uicc = vector.for_gba_u()
    values = {
        "xres": vector.xres.reveal(),
        "ck": vector.ck.reveal(),
        "ik": vector.ik.reveal(),
        "autn": vector.autn,
        "autn_gba_u": of_uicc.autn,
        "xres_gba_u": of_uicc.xres.reveal(),
        "auts": build_auts(functions, rand=rand, sqn_ms=number),
    }
    return {
        "clause": "TS 33.102 6.3, TS 33.220 5.3.2",
        "inputs": {"algorithm": "MILENAGE", **inputs, "sqn_ms": inputs["sqn"]},
        "values": {name: value.hex() for name, value in values.items()},
    }


def _gba(functions: Milenage) -> Iterator[dict[str, Any]]:
    from ..frameworks.saef_gba import psk_identity

    rand = bytes.fromhex(_MILENAGE["rand"])
    sqn = SequenceNumber.from_octets(bytes.fromhex(_MILENAGE["sqn"]))
    vector = authentication_vector(functions, sqn=sqn, amf=b"\0\0", rand=rand)
    yield from _proofs(vector.xres, vector.ck, vector.ik, rand, vector.autn)
    ks, b_tid = keys.ks_of(vector.ck, vector.ik), keys.b_tid_of(rand, _BSF)
    cipher_and_integrity = {"ck": vector.ck.reveal().hex(), "ik": vector.ik.reveal().hex()}
    yield _answer("Ks", "TS 33.220 4.5.2", cipher_and_integrity, ks.reveal().hex())
    yield _answer("B-TID", "TS 33.220 4.5.2", {"rand": rand.hex(), "bsf": str(_BSF)}, b_tid.base64)
    for choice in keys.KeyChoice:
        shown = psk_identity(b_tid, choice).decode("ascii")
        yield _answer("psk_identity", "TS 33.222 5.4", {"key": choice.value, "b_tid": b_tid.base64}, shown)
        for code in _SUITES:
            protocol = keys.ua_security_protocol(code)
            name = keys.naf_id(_NAF, protocol)
            key = keys.naf_key(choice, ks, rand=rand, impi=_IMPI, naf_id=name)
            inputs = {
                "ks": ks.reveal().hex(),
                "rand": rand.hex(),
                "impi": str(_IMPI),
                "naf": str(_NAF),
                "cipher_suite": BY_CODE[code].name,
                "ua_security_protocol": protocol.hex(),
                "naf_id": name.hex(),
            }
            yield _answer(choice.value, "TS 33.220 B.3", inputs, key.reveal().hex())


def _proofs(xres: Secret, ck: Secret, ik: Secret, rand: bytes, autn: bytes) -> Iterator[dict[str, Any]]:
    """The UE's proof on Ub, in both versions of Digest AKA."""
    nonce = str(digest.AkaNonce(rand, autn))
    for algorithm in digest.DigestAlgorithm:
        challenge = digest.Challenge(
            realm=str(_BSF), nonce=nonce, algorithm=algorithm, qop=(digest.Qop.AUTH_INT,)
        )
        password = algorithm.password(res=xres, ck=ck, ik=ik)
        sent = digest.answer(challenge, impi=_IMPI, password=password, cnonce="0a4f113b")
        inputs = {
            "algorithm": algorithm.value,
            "xres": xres.reveal().hex(),
            "ck": ck.reveal().hex(),
            "ik": ik.reveal().hex(),
            "username": str(_IMPI),
            "realm": str(_BSF),
            "nonce": nonce,
            "cnonce": "0a4f113b",
            "nc": "00000001",
            "qop": "auth-int",
            "request": "GET /, empty body",
        }
        yield _answer("response", "RFC 3310, RFC 4169", inputs, sent.response)


def _answer(output: str, clause: str, inputs: dict[str, str], value: str) -> dict[str, Any]:
    return {"output": output, "clause": clause, "inputs": inputs, "value": value}
