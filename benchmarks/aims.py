"""What each measurement is to reach: ratios to ``openssl s_server`` in the same run, if nothing is said."""

from __future__ import annotations

from typing import Final

from .figures import Aim

AIMS: Final = {
    "maf": Aim("MAF over TLS, Kc durable, 1,000 clients, 32 at once", 1.5, 1.15),
    "maf-one": Aim("MAF over TLS, Kc durable, 1,000 clients, one at a time", 3.5, 2.5),
    "maf-many": Aim("MAF over TLS, Kc durable, a million clients, 32 at once", 1.9, 1.5),
    "maf-rate": Aim("handshakes a second of one MAF process, 32 at once", 1.0, 1.4, at_least=True),
    "certificates-returning": Aim("Entity B, mutual ECDSA, returning", 0.8, 0.7),
    "certificates-new": Aim("Entity B, mutual ECDSA, never seen", 1.1, 0.85),
    "dtls-b-1": Aim("DTLS Entity B, one at a time", 2.0, 1.4),
    "dtls-b-16": Aim("DTLS Entity B, 16 at once", 1.5, 1.1),
    "dtls-maf-1": Aim("DTLS MAF, Kc durable, one at a time", 4.2, 3.3),
    "dtls-maf-16": Aim("DTLS MAF, Kc durable, 16 at once", 2.2, 1.6),
    "idle-tls": Aim("an idle TLS session", 25, 20, " kB"),
    "idle-dtls": Aim("an idle DTLS session", 70, 40, " kB"),
    "first-contact": Aim("first contact, 100 at once, to repeat contact, CPU of the MAF", 2.0, 1.6),
    "retrieval": Aim("key retrieval over HTTP, to one handshake of s_server", 1.1, 0.8),
    "escertke-returning": Aim("ESCertKE, of the speed of C, returning", 1.0, 1.1, at_least=True),
    "escertke-new": Aim("ESCertKE, of the speed of C, never seen", 0.65, 0.85, at_least=True),
    "start-help": Aim("`m2msec --help`, processor time", 0.15, 0.1, " s"),
    "start-serve": Aim("`m2msec maf serve` until ready", 0.7, 0.45, " s"),
    "lookup-time": Aim("known minus unknown identity, absolute z", 3.0, 3.0),
}
