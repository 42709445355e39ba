"""An Enrolee that keeps itself a certificate: its files, when it renews, and an MEF that is down."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from est_support import FACTORY, NAME, NAME_7, est_mef, later
from mef_support import CSE, DEVICE, PATIENT, THE_CSE
from onem2m_security.clients.certificate_files import CertificateFiles
from onem2m_security.clients.certificate_renewal import (
    LONGEST_SLEEP,
    RETRY_INTERVAL,
    RenewedCertificate,
    renewal_due,
)
from onem2m_security.clients.enrolee import Enrolee
from onem2m_security.clients.est import EstClient, provision
from onem2m_security.errors import CredentialError, ResolverUnavailableError
from onem2m_security.net.link import Link
from onem2m_security.store import Store

MONTH = timedelta(days=30)


def kept(mef, directory, **more):
    """Device 7's certificate: first by that of its factory, then by its own."""
    return RenewedCertificate(
        NAME_7,
        CertificateFiles.at(directory / "own"),
        first=mef.by_certificate,
        again=mef.by_certificate,
        **more,
    )


async def test_the_first_certificate_is_kept_in_files_that_only_the_owner_reads(tmp_path):
    async with est_mef(tmp_path / "mef") as mef:
        got = await kept(mef, tmp_path).current()
        assert got == await kept(mef, tmp_path).current()
        assert len(mef.files) == 1
    files = [tmp_path / f"own{kind}" for kind in (".crt", ".key", ".anchor.crt")]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mef", "own.anchor.crt", "own.crt", "own.key"]


async def test_a_certificate_is_renewed_by_itself_when_two_thirds_of_its_life_are_over(tmp_path):
    async with est_mef(tmp_path / "mef") as mef:
        first = await kept(mef, tmp_path).current()
        assert await kept(mef, tmp_path, clock=later(MONTH * 0.6)).current() == first

        def by_factory() -> EstClient:
            raise AssertionError("it has a live certificate, and shows another")

        renewing = dataclasses.replace(kept(mef, tmp_path, clock=later(MONTH * 0.7)), first=by_factory)
        second = await renewing.current()
        assert second.certificate != first.certificate
        assert second.private_key.public_key() != first.private_key.public_key()
        assert CertificateFiles.at(tmp_path / "own").load() == second
        assert len(mef.files) == 2


async def test_a_certificate_that_has_ended_is_followed_by_a_first_one(tmp_path):
    async with est_mef(tmp_path / "mef") as mef:
        first = await kept(mef, tmp_path).current()
        second = await kept(mef, tmp_path, clock=later(MONTH * 1.1)).current()
        assert second.certificate != first.certificate


async def test_while_the_mef_is_down_the_certificate_serves_until_its_end(tmp_path):
    async with est_mef(tmp_path / "mef") as mef:
        first = await kept(mef, tmp_path).current()
    assert await kept(mef, tmp_path, clock=later(MONTH * 0.9)).current() == first
    with pytest.raises(ResolverUnavailableError):
        await kept(mef, tmp_path, clock=later(MONTH * 1.1)).current()


@pytest.mark.parametrize(
    ("ahead", "sleeps"),
    [(timedelta(), LONGEST_SLEEP), (MONTH * 2, RETRY_INTERVAL)],
    ids=["a month is left", "what the MEF issues has ended by our clock"],
)
async def test_it_looks_again_in_an_hour_or_sooner_where_nothing_came(tmp_path, ahead, sleeps):
    slept = []

    async def sleep(seconds):
        slept.append(timedelta(seconds=seconds))
        if len(slept) == 2:
            raise asyncio.CancelledError

    async with est_mef(tmp_path / "mef") as mef:
        with contextlib.suppress(asyncio.CancelledError):
            await kept(mef, tmp_path, clock=later(ahead)).keep(sleep=sleep)
        assert slept == [sleeps, sleeps]


async def test_a_loss_of_power_between_two_files_costs_no_certificate(tmp_path):
    async with est_mef(tmp_path / "mef") as mef:
        first = await kept(mef, tmp_path).current()
        async with mef.by_certificate(first) as client:
            second = await provision(client, NAME_7, renewing=True)
    files = CertificateFiles.at(tmp_path / "own")
    fresh = files.private_key.with_name("own.key.next")
    fresh.touch(mode=0o600)
    fresh.write_bytes(second.key_pem)
    assert files.load() == first  # the certificate was still the one before
    assert not fresh.exists()
    fresh.touch(mode=0o600)
    fresh.write_bytes(second.key_pem)
    files.certificate.write_bytes(second.chain_pem)
    assert files.load() == second  # the certificate was there, its key beside it
    assert files.private_key.read_bytes() == second.key_pem


async def test_a_key_that_others_may_read_is_refused(tmp_path):
    async with est_mef(tmp_path / "mef") as mef:
        await kept(mef, tmp_path).current()
        (tmp_path / "own.key").chmod(0o644)
        with pytest.raises(CredentialError, match="chmod 600"):
            await kept(mef, tmp_path).current()


async def test_a_certificate_for_another_name_than_is_wanted_is_not_kept_in_use(tmp_path):
    async with est_mef(tmp_path / "mef") as mef:
        files = CertificateFiles.at(tmp_path / "own")
        async with mef.by_certificate(FACTORY) as client:
            files.save(await provision(client, NAME_7))
        got = await RenewedCertificate(NAME, files, first=mef.by_key).current()
        assert NAME.is_all_of(got.certificate)


async def test_an_enrolee_gets_a_certificate_over_a_bootstrap_whose_ke_it_keeps(tmp_path):
    async with est_mef(tmp_path / "mef") as mef, await Store.open(tmp_path / "device") as store:
        enrolee = await Enrolee.configure(
            store,
            kpm_id=DEVICE.kpm_id,
            kpm=DEVICE.kpm,
            instruction=DEVICE.instruction,
            link=Link(mef.address, limits=PATIENT),
        )
        before = await enrolee.enrol()
        own = RenewedCertificate(NAME, CertificateFiles.at(tmp_path / "own"), first=enrolee.est)
        got = await own.current()
        assert got.certificate.public_bytes(Encoding.PEM) == mef.files[0].read_bytes()
        after = await enrolee.enrolment_key()
        assert after.ke_id != before.ke_id
        target = THE_CSE.client(mef.address)
        try:
            fetched = await target.fetch_kpsa(after.ke_id)
            assert fetched.key == (await enrolee.provisioned_key(CSE)).key
        finally:
            await target.close()


async def test_an_enrolee_whose_mef_is_down_keeps_the_ke_that_it_has(tmp_path):
    async with est_mef(tmp_path / "mef") as mef, await Store.open(tmp_path / "device") as store:
        enrolee = await Enrolee.configure(
            store,
            kpm_id=DEVICE.kpm_id,
            kpm=DEVICE.kpm,
            instruction=DEVICE.instruction,
            link=Link(mef.address, limits=PATIENT),
        )
        before = await enrolee.enrol()
    async with await Store.open(tmp_path / "device") as store:
        enrolee = await Enrolee.load(store)
        own = RenewedCertificate(NAME, CertificateFiles.at(tmp_path / "own"), first=enrolee.est)
        with pytest.raises(ResolverUnavailableError):
            await own.current()
        assert (await enrolee.enrolment_key()).ke_id == before.ke_id


def test_renewal_is_due_when_two_thirds_of_the_life_are_over():
    begins, ends = FACTORY.certificate.not_valid_before_utc, FACTORY.certificate.not_valid_after_utc
    assert abs(renewal_due(FACTORY.certificate) - begins - (ends - begins) * 2 / 3) < timedelta(seconds=1)
