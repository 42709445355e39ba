"""Known-answer vectors: fixed inputs, and what this implementation makes of them.

Test labs compare other implementations with these. All octet strings are in hex. The inputs are arbitrary and
public: never use them as keys.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

from .. import keys
from ..certificates.flavours import Flavour
from ..credentials import Secret
from ..identifiers import CredentialId, CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..release import KM_ID_DERIVATION, Release
from ..version import __version__
from .gba_answers import gba_answers


def _octets(seed: str, length: int) -> bytes:
    """Arbitrary octets that anybody can make again: SHA-256 of a text, repeated with a counter."""
    blocks = (hashlib.sha256(f"{seed}{i}".encode()).digest() for i in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def known_answers() -> dict[str, Any]:
    """All vectors as JSON values."""
    return {
        "generator": f"onem2m-security {__version__}",
        "exports": [_export(label, *how) for label in keys.ExportLabel for how in _SESSIONS],
        "identifiers": [_identifier(name, fqdn) for name, fqdn in _IDENTIFIER_INPUTS],
        "derivations": [*_derivations()],
        **gba_answers(),
        "credential_ids": [*_credential_ids()],
        "public_keys": [*_public_keys()],
    }


_IDENTIFIER_INPUTS = [
    ("KeId", "mef.example.com"),
    ("KcId", "maf.example.com"),
    ("KcId", "MAF.Bücher.example."),
]


_SESSIONS = [(protocol, extended) for protocol in ("TLS 1.2", "DTLS 1.2") for extended in (True, False)]
"""And whether Extended Master Secret (RFC 7627) was negotiated."""


def _export(label: keys.ExportLabel, protocol: str, extended: bool) -> dict[str, Any]:
    """The export from a session with these secrets, randoms and messages, under PSK without (EC)DHE."""
    seed = f"{label.name} {protocol} {extended}"
    psk, client, server, messages = (
        _octets(f"{seed} {what}", 32) for what in ("psk", "client", "server", "messages")
    )
    premaster = len(psk).to_bytes(2) + bytes(len(psk)) + len(psk).to_bytes(2) + psk
    if extended:
        master = prf(premaster, b"extended master secret", messages, 48)
    else:
        master = prf(premaster, b"master secret", client + server, 48)
    material = prf(master, label.value, client + server, keys.EXPORT_OCTETS)
    split = keys.ExportedKey.split(material)
    return {
        "clause": "10.3.1",
        "label": label.value.decode("ascii"),
        "protocol": protocol,
        "extended_master_secret": extended,
        "inputs": {
            "prf": "TLS 1.2, SHA-256 (RFC 5246 clause 5)",
            "psk": psk.hex(),
            "premaster_secret": premaster.hex(),
            **({"session_hash": messages.hex()} if extended else {}),
            "master_secret": master.hex(),
            "client_random": client.hex(),
            "server_random": server.hex(),
        },
        "exported": material.hex(),
        "relative_identifier": split.relative.hex(),
        "key": split.key.reveal().hex(),
    }


def prf(secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """The pseudorandom function of TLS 1.2 with SHA-256 (RFC 5246 clause 5), by which RFC 5705 exports keys.

    Sessions leave it to the TLS library; here a master secret is given, which no session hands out.
    """
    out, block = b"", label + seed
    while len(out) < length:
        block = hmac.digest(secret, block, "sha256")
        out += hmac.digest(secret, block + label + seed, "sha256")
    return out[:length]


def _credential_ids() -> Iterator[dict[str, Any]]:
    from ..certificates.flavours import credential_id

    maf = Fqdn("maf.example.com")
    for of, name in (
        (CredentialType.KPM_ID, "kpm"),
        (CredentialType.KM_ID, "km"),
        (CredentialType.KPSA_ID, "kpsa"),
    ):
        key_id = KeyIdentifier(name, maf)
        yield _credential_id({"type": int(of), "key_identifier": str(key_id)}, CredentialId(of, str(key_id)))
    for flavour, identifier in _CERTIFIED:
        found = credential_id(flavour, identifier)
        if found is not None:
            yield _credential_id({"certificate": flavour.value, "identifier": identifier}, found)


def _credential_id(inputs: dict[str, Any], made: CredentialId) -> dict[str, Any]:
    return {"output": "Credential-ID", "clause": "10.4", "inputs": inputs, "value": str(made)}


_CERTIFIED = (
    (Flavour.CSE_ID, "//sp.example/in-cse"),
    (Flavour.AE_ID, "//sp.example/in-cse/Csensor"),
    (Flavour.DEVICE, "0.2.481.1.100.3030.10011"),
    (Flavour.NODE_ID, "0.2.481.1.100.77"),
)


def _public_keys() -> Iterator[dict[str, str]]:
    """Names of a public key: P-256, of a private number that anybody can make again."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from ..certificates.public_key_id import DIGEST_OCTETS, PublicKeyIdentifier

    number = int.from_bytes(_octets("public key", 31))
    public = derive_private_key(number, SECP256R1()).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in DIGEST_OCTETS:
        yield {
            "clause": "10.1.2, RFC 6920",
            "algorithm": algorithm,
            "subject_public_key_info": spki.hex(),
            "value": str(PublicKeyIdentifier.of(spki, algorithm)),
        }


def _identifier(name: str, fqdn: str) -> dict[str, str]:
    relative = _octets(name, 16)
    key_id = KeyIdentifier.from_octets(relative, Fqdn.parse(fqdn))
    return {
        "clause": "10.3.4" if name == "KeId" else "10.3.5",
        "name": name,
        "relative_identifier": relative.hex(),
        "fqdn": fqdn,
        "release_1": Release.R1.wire(key_id),
        "release_3": Release.R3.wire(key_id),
    }


def _derivations() -> list[dict[str, Any]]:
    ke = Secret(_octets("Ke", 32))
    out: list[dict[str, Any]] = []
    for maf_id in ("maf.example.com", "maf.bücher.example"):
        maf = Fqdn.parse(maf_id)
        km = keys.derive_km(ke, maf)
        out.append(_derivation("Km", "10.3.2", [1], ke, km, maf_id=maf_id))
        km_id = str(keys.km_id_of(km, maf))
        ours = {"km": km.reveal().hex(), "maf_id": maf_id, "constant": KM_ID_DERIVATION.decode("ascii")}
        out.append({"output": "KmId", "clause": "ours", "releases": [1, 3], "inputs": ours, "value": km_id})
        usage_constrained = keys.derive_usage_constrained_key(ke, Suid.PROVISIONED_MAF, maf)
        out.append(_derivation("Km", "10.3.7", [3], ke, usage_constrained, maf_id=maf_id, suid="21"))
    for target in ("/in-cse", "//sp.example/in-cse", "//sp.example/in-cse/Csensor"):
        entity = EntityId.parse(target)
        out.append(_derivation("Kpsa", "10.3.3", [1], ke, keys.derive_kpsa(ke, entity), enrolee_b_id=target))
        if entity.domain_name is not None:
            kpsa = keys.kpsa_for(Release.R3, ke, entity)
            name = entity.domain_name.unicode
            inputs = {"enrolment_target": target, "enrolment_target_id": name, "suid": "22"}
            out.append(_derivation("Kpsa", "10.3.7", [3], ke, kpsa, **inputs))
    return out


def _derivation(
    output: str, clause: str, releases: list[int], ke: Secret, value: Secret, **inputs: str
) -> dict[str, Any]:
    return {
        "output": output,
        "clause": clause,
        "releases": releases,
        "inputs": {"ke": ke.reveal().hex(), **inputs},
        "value": value.reveal().hex(),
    }
