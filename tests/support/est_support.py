"""An MEF that provisions certificates, and the certificates of those who meet it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from certificate_support import ROOT, flavoured, named
from certs import Authority, Flavour, Issued, constrained
from maf_support import LOOPBACK
from mef_support import CSE, DEVICE, MAF_ID, MEF, PATIENT, provision_mef
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.signing_requests import CertifiedName
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.est import EstClient, ProvisionedCertificate
from onem2m_security.clock import CLOCK, Clock
from onem2m_security.frameworks import bootstrap_certificate
from onem2m_security.frameworks.steps import Initiator
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.net.address import Address
from onem2m_security.net.link import Link
from onem2m_security.servers.est import Est, EstPolicy
from onem2m_security.servers.issued import IssuedCertificates
from onem2m_security.servers.issuing import IssuingAuthority, OwnAuthority
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server
from onem2m_security.store import Store

MEF_CA = constrained(ROOT)
"""The MEF CA: it issues for sp.example."""

THE_MEF = ROOT.intermediate("mef authority").issue(None, str(MEF))
FOR_MEF = named(str(MEF), EntityId(str(MEF)))
NAME = CertifiedName.of(DEVICE.entity)

FACTORY_NAME = "device-7.example.com"
FACTORY = ROOT.intermediate("factory").issue(None, FACTORY_NAME)
"""The certificate that the manufacturer gave to a device (RFC 7030: third-party)."""

DEVICE_7 = EntityId.parse("//sp.example/in-cse/Cdevice7")
NAME_7 = CertifiedName.of(DEVICE_7)
BY_FACTORY = named(FACTORY_NAME, DEVICE_7, targets=(MAF_ID, CSE), name="by factory")
BY_PROVISIONED = flavoured(
    Flavour.AE_ID, str(DEVICE_7), peer=DEVICE_7, targets=(MAF_ID, CSE), name="provisioned"
)


@dataclass(frozen=True, slots=True)
class RunningEst:
    """An MEF that listens, and where what it provisioned is on record."""

    address: Address
    store: Store
    records: Path

    @property
    def files(self) -> list[Path]:
        return sorted(self.records.glob("*/*.pem"))

    def by_key(self, initiator: Initiator = DEVICE.initiator) -> EstClient:
        """The device that the MEF knows by Kpm."""
        return EstClient(Link(self.address, limits=PATIENT), initiator)

    def by_certificate(self, issued: Issued | ProvisionedCertificate = FACTORY) -> EstClient:
        """Device 7, by the certificate of its factory or by another one."""
        own = issued.local if isinstance(issued, ProvisionedCertificate) else issued.local()
        return self.by_key(bootstrap_certificate.initiate(DEVICE_7, MEF, own, Trust((FOR_MEF,))))


@contextlib.asynccontextmanager
async def est_mef(
    data: Path,
    *clients: AssociationConfiguration,
    authority: IssuingAuthority | None = None,
    policy: EstPolicy | None = None,
    clock: Clock = CLOCK,
    ca: Authority = MEF_CA,
    lifetime: timedelta = timedelta(days=30),
    others: Iterable[Fqdn] = (),
) -> AsyncIterator[RunningEst]:
    """An MEF with EST, for the device with Kpm and for device 7 with certificates."""
    await provision_mef(data)
    store = await Store.open(data)
    endpoint = bootstrap_certificate.accept(THE_MEF.local(), Trust(clients or (BY_FACTORY, BY_PROVISIONED)))
    records = data / "certificates"
    est = Est(
        MEF,
        authority or OwnAuthority(ca, lifetime=lifetime, clock=clock),
        IssuedCertificates(records, clock=clock),
        policy=policy,
        clock=clock,
    )
    mefs = [Mef(store, MEF, endpoint=endpoint, est=est), *(Mef(store, fqdn) for fqdn in others)]
    async with Server(store, mefs) as server:
        yield RunningEst(await server.start(LOOPBACK), store, records)


def later(by: timedelta) -> Clock:
    """Clocks that are so much ahead."""
    return dataclasses.replace(CLOCK, now=lambda: CLOCK.now() + by)
