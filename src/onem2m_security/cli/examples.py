"""Examples of every command, as its help shows them; each is parsed by the test of the command line."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "demo": ("m2msec demo", "m2msec demo --framework gba"),
    "connect": (
        "m2msec connect /in-cse --config device.toml",
        (
            "m2msec connect 127.0.0.1:9443 --peer /in-cse --entity /device-7 --maf 127.0.0.1:8443"
            " --km-id a@maf.example.com --km-file km-a"
        ),
    ),
    "listen": (
        (
            "m2msec listen --listen 127.0.0.1:9443 --cse-id /in-cse --maf 127.0.0.1:8443"
            " --km-id b@maf.example.com --km-file km-b"
        ),
        (
            "m2msec listen --listen 127.0.0.1:9443 --cse-id /in-cse --kpsa-id a@sp.example --kpsa-file kpsa"
            " --kpsa-peer /device-7"
        ),
    ),
    "gateway": (
        (
            "m2msec gateway --listen 127.0.0.1:9443 --cse-id /in-cse --to http://127.0.0.1:8080"
            " --maf 127.0.0.1:8443 --km-id b@maf.example.com --km-file km-b"
        ),
        "m2msec gateway --config cse.toml",
    ),
    "agent": (
        "m2msec agent --config device.toml",
        (
            "m2msec agent --listen 127.0.0.1:8000 --peer /in-cse --to 127.0.0.1:9443"
            " --entity /in-cse/Csensor --maf 127.0.0.1:8443 --km-id a@maf.example.com --km-file km-a"
        ),
        (
            "m2msec agent --enrol --mef 127.0.0.1:7443 --kpm-id device-7@mef.example.com --kpm-file kpm"
            " --enrolee-id /in-cse/Csensor --target maf.example.com --credentials device"
            " --listen 127.0.0.1:8000 --peer /in-cse --to 127.0.0.1:9443 --maf 127.0.0.1:8443"
        ),
    ),
    "enrol": (
        (
            "m2msec enrol 127.0.0.1:7443 --data device --kpm-id device-7@mef.example.com --kpm-file kpm"
            " --enrolee-id /device-7 --target maf.example.com"
        ),
        "m2msec enrol --data device",
        (
            "m2msec enrol 127.0.0.1:8080 --data device --card card --mef-id mef.example.com"
            " --enrolee-id //sp.example/cse/Cmeter --target maf.example.com"
        ),
    ),
    "certificate": ("m2msec certificate --data device --out own",),
    "obey": (
        "m2msec obey --data device --out own --configure ./configure-device",
        "m2msec obey mef.example.com --config device.toml --out own --keep",
    ),
    "serve": ("m2msec serve --config servers.toml",),
    "config example": ("m2msec config example",),
    "config check": ("m2msec config check servers.toml",),
    "config schema": ("m2msec config schema",),
    "maf serve": (
        "m2msec maf serve --data maf --fqdn maf.example.com --listen 127.0.0.1:8443",
        (
            "m2msec maf serve --data maf --fqdn maf.example.com --listen 127.0.0.1:8443"
            " --mef mef.example.com=127.0.0.1:7443 --mef-key-id maf@mef.example.com --mef-key-file mef-key"
            " --enrolee-target /in-cse"
        ),
    ),
    "maf add-client": (
        (
            "m2msec maf add-client --data maf --km-id a@maf.example.com --entity /device-7 --target /in-cse"
            " --expires-in 90d --out km-a"
        ),
    ),
    "maf remove-client": ("m2msec maf remove-client --data maf --km-id a@maf.example.com",),
    "maf clients": (
        "m2msec maf clients --data maf --filter /device- --limit 20",
        "m2msec maf clients --data maf --count",
    ),
    "maf keys": ("m2msec maf keys --data maf --filter /in-cse --json",),
    "maf key register": (
        (
            "m2msec maf key register 127.0.0.1:8443 --km-id a@maf.example.com --km-file km-a"
            " --entity //sp.example/cse/Ca --suid 33 --target //sp.example/cse/Cb"
        ),
    ),
    "maf key retrieve": (
        (
            "m2msec maf key retrieve 127.0.0.1:8443 key-7@maf.example.com"
            " --km-id b@maf.example.com --km-file km-b --entity //sp.example/cse/Cb"
        ),
    ),
    "maf key update": (
        (
            "m2msec maf key update 127.0.0.1:8443 key-7@maf.example.com"
            " --km-id a@maf.example.com --km-file km-a --entity //sp.example/cse/Ca --expires-in 1h"
        ),
    ),
    "maf key deregister": (
        (
            "m2msec maf key deregister 127.0.0.1:8443 key-7@maf.example.com"
            " --km-id a@maf.example.com --km-file km-a --entity //sp.example/cse/Ca"
        ),
    ),
    "mef serve": ("m2msec mef serve --data mef --fqdn mef.example.com --listen 127.0.0.1:7443",),
    "mef add-enrolee": (
        (
            "m2msec mef add-enrolee --data mef --kpm-id device-7@mef.example.com --enrolee-id /device-7"
            " --target maf.example.com --expires-in 365d --out kpm"
        ),
    ),
    "mef add-target": (
        (
            "m2msec mef add-target --data mef --key-id maf@mef.example.com --target maf.example.com"
            " --out mef-key"
        ),
    ),
    "mef enrolees": ("m2msec mef enrolees --data mef --filter maf.example.com",),
    "mef targets": ("m2msec mef targets --data mef --json",),
    "mef revoke": ("m2msec mef revoke --data mef --kpm-id device-7@mef.example.com",),
    "mef keys": ("m2msec mef keys --data mef --count",),
    "mef command add": (
        (
            "m2msec mef command add cert-prov --data mef --enrolee-id /device-7"
            " --uri https://mef.example.com/.well-known/est"
        ),
        ("m2msec mef command add dev-cfg --data mef --enrolee-id /device-7 --uri 3:coaps://mef.example.com"),
        (
            "m2msec mef command add mo-node --data mef --enrolee-id /device-7 --path ./1/profile"
            " --object-type authentication-profile --suid 21"
        ),
    ),
    "mef command list": ("m2msec mef command list --data mef --filter QUEUED",),
    "mef command remove": ("m2msec mef command remove --data mef --cmd-id 8f14e45fceea167a5a36dedd4bea2543",),
    "bsf serve": (
        (
            "m2msec bsf serve --data bsf --fqdn bsf.example.com --listen-ub 127.0.0.1:8080"
            " --listen-zn 127.0.0.1:6443"
        ),
    ),
    "bsf add-subscriber": (
        "m2msec bsf add-subscriber --data bsf --card card --entity /device-7 --naf cse.sp.example",
        (
            "m2msec bsf add-subscriber --data bsf --impi 001010000000001@operator.example --k-file k"
            " --opc-file opc --naf cse.sp.example=Ks_NAF --lifetime 7d"
        ),
    ),
    "bsf remove-subscriber": (
        "m2msec bsf remove-subscriber --data bsf --impi 001010000000001@operator.example",
    ),
    "bsf bar": ("m2msec bsf bar --data bsf --impi 001010000000001@operator.example",),
    "bsf unbar": ("m2msec bsf unbar --data bsf --impi 001010000000001@operator.example",),
    "bsf subscribers": ("m2msec bsf subscribers --data bsf --limit 20",),
    "bsf add-naf": (
        (
            "m2msec bsf add-naf --data bsf --key-id cse@bsf.example.com --entity /in-cse --naf cse.sp.example"
            " --out zn-key"
        ),
    ),
    "bsf remove-naf": ("m2msec bsf remove-naf --data bsf --key-id cse@bsf.example.com",),
    "bsf nafs": ("m2msec bsf nafs --data bsf --json",),
    "usim make": (
        "m2msec usim make --card card --impi 001010000000001@operator.example",
        (
            "m2msec usim make --card card --impi 001010000000001@operator.example --k-file k --opc-file opc"
            " --gba-u"
        ),
    ),
    "usim show": ("m2msec usim show --card card",),
    "usim authenticate": (
        (
            "m2msec usim authenticate --card card --rand 9a4b0c6bccf7b80b4331994b853ce271"
            " --autn a15d1bfa1d2b930157f1bb8dfa99be26"
        ),
    ),
    "usim bootstrap": ("m2msec usim bootstrap --card card --bsf bsf.example.com=127.0.0.1:8080",),
    "pki root": ("m2msec pki root 'Lab root' --out root",),
    "pki intermediate": ("m2msec pki intermediate 'Lab CA' --ca root --out ca --dns sp.example",),
    "pki issue": (
        "m2msec pki issue cse-id //sp.example/in-cse --ca ca --out in-cse",
        "m2msec pki issue release1 b.sp.example --ca root --out b",
    ),
    "pki self-signed": ("m2msec pki self-signed --out device-7 --days 365",),
    "pki request": ("m2msec pki request cse-id //sp.example/in-cse --out in-cse",),
    "pki sign": ("m2msec pki sign in-cse.csr cse-id --ca ca --out in-cse.crt",),
    "pki crl": ("m2msec pki crl --ca ca --revoke in-cse.crt --previous 1.crl --out 2.crl",),
    "pki check": ("m2msec pki check in-cse.crt",),
    "pki raw-public-key": ("m2msec pki raw-public-key --out device-7",),
    "escertke initiate": (
        (
            "m2msec escertke initiate messages --entity //sp.example/in-cse/Ca --peer //sp.example/in-cse/Cb"
            " --cert a.crt --key a.key --flavour ae-id --peer-id //sp.example/in-cse/Cb"
            " --trust-anchor root.crt --out key-a"
        ),
    ),
    "escertke respond": (
        (
            "m2msec escertke respond messages --entity //sp.example/in-cse/Cb --cert b.crt --key b.key"
            " --flavour ae-id --trust-anchor root.crt --out key-b"
        ),
    ),
    "store rekey": ("m2msec store rekey --data maf",),
    "vectors": ("m2msec vectors --text", "m2msec vectors > vectors.json"),
    "completion": ("m2msec completion bash > ~/.local/share/bash-completion/completions/m2msec",),
    "version": ("m2msec version",),
}
"""By the names of the command."""
