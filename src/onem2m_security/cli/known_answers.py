"""Known-answer vectors: fixed inputs, and what this implementation makes of them.

Test labs compare other implementations with these. All octet strings are in hex. The inputs are arbitrary and
public: never use them as keys.
"""

from __future__ import annotations

import hashlib
from typing import Any

from .. import keys
from ..credentials import Secret
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..release import KM_ID_DERIVATION, Release
from ..version import __version__


def _octets(seed: str, length: int) -> bytes:
    """Arbitrary octets that anybody can make again: SHA-256 of a text, repeated with a counter."""
    blocks = (hashlib.sha256(f"{seed}{i}".encode()).digest() for i in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def known_answers() -> dict[str, Any]:
    """All vectors as JSON values."""
    return {
        "generator": f"onem2m-security {__version__}",
        "exports": [_export(label) for label in keys.ExportLabel],
        "identifiers": [_identifier(name, fqdn) for name, fqdn in _IDENTIFIER_INPUTS],
        "derivations": [*_derivations()],
    }


_IDENTIFIER_INPUTS = [
    ("KeId", "mef.example.com"),
    ("KcId", "maf.example.com"),
    ("KcId", "MAF.Bücher.example."),
]


def _export(label: keys.ExportLabel) -> dict[str, str]:
    material = _octets(label.name, keys.EXPORT_OCTETS)
    split = keys.ExportedKey.split(material)
    return {
        "clause": "10.3.1",
        "label": label.value.decode("ascii"),
        "exported": material.hex(),
        "relative_identifier": split.relative.hex(),
        "key": split.key.reveal().hex(),
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
