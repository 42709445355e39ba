from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maf_support import key_of
from mef_support import CSE, DEVICE, MAF_ID, THE_MAF
from onem2m_security.clock import Clock
from onem2m_security.credentials import Framework
from onem2m_security.errors import ConfigurationError
from onem2m_security.frameworks.instructions import (
    DEFAULT_ENROLMENT_EXPIRY,
    BootstrapInstruction,
    as_credential,
    enrolee_record,
)
from onem2m_security.identifiers import EntityId, Suid
from onem2m_security.release import Release
from onem2m_security.store import KeyKind, Store
from onem2m_security.store.records import label


@given(
    targets=st.lists(st.sampled_from([MAF_ID, CSE, EntityId("//sp.example/Sae")]), min_size=1, unique=True),
    seconds=st.integers(min_value=1, max_value=10**9),
    release=st.sampled_from(Release),
    more=st.lists(st.sampled_from(["mef=127.0.0.1:1", "transport=tls", "release"]), unique=True),
)
def test_an_instruction_comes_back_from_its_record(targets, seconds, release, more):
    instruction = BootstrapInstruction(DEVICE.entity, tuple(targets), timedelta(seconds=seconds), release)
    record = enrolee_record(DEVICE.kpm_id, DEVICE.kpm, instruction)
    record = replace(record, labels=(*record.labels, *more))
    assert BootstrapInstruction.of(record) == instruction
    assert (record.kind, record.suid) == (KeyKind.KPM, Suid.PRE_PROVISIONED_MEF)


async def test_an_instruction_comes_back_from_the_store(tmp_path):
    device = replace(DEVICE, enrolment_expiry=timedelta(hours=5), release=Release.R3)
    async with await Store.open(tmp_path) as store:
        await store.add(device.record)
        found = await store.find(KeyKind.KPM, device.kpm_id)
    assert found is not None
    assert BootstrapInstruction.of(found) == device.instruction


def test_a_record_without_labels_has_the_defaults():
    instruction = BootstrapInstruction.of(replace(DEVICE.record, labels=()))
    assert instruction is not None
    assert instruction.enrolment_expiry == DEFAULT_ENROLMENT_EXPIRY
    assert instruction.release is Release.R1


@pytest.mark.parametrize("record", [THE_MAF.record, replace(DEVICE.record, source=None)])
def test_there_is_no_instruction_without_an_enrolee_or_a_target(record):
    assert BootstrapInstruction.of(record) is None


@pytest.mark.parametrize("target", ["/in-cse", "Cae", "/in-cse/Cae"])
def test_a_target_for_which_no_key_can_be_derived_is_refused_when_the_enrolee_is_configured(target):
    instruction = BootstrapInstruction(DEVICE.entity, (MAF_ID, EntityId(target)), release=Release.R3)
    with pytest.raises(ConfigurationError, match=re.escape(f"{target}: Release 3 derives keys for")):
        enrolee_record(DEVICE.kpm_id, DEVICE.kpm, instruction)
    assert enrolee_record(DEVICE.kpm_id, DEVICE.kpm, replace(instruction, release=Release.R1)).targets


def test_a_record_says_by_which_framework_its_key_is_used():
    ends = datetime(2040, 1, 1, tzinfo=UTC)
    enrolee = as_credential(enrolee_record(DEVICE.kpm_id, key_of("k"), DEVICE.instruction, expires=ends))
    assert (enrolee.framework, enrolee.targets) == (Framework.BOOTSTRAP_PSK, DEVICE.targets)
    assert (enrolee.peer, enrolee.expires) == (DEVICE.entity, ends)
    target = as_credential(THE_MAF.record)
    assert (target.framework, target.targets, target.peer) == (Framework.MEF_HANDSHAKE, (), MAF_ID)


def test_a_label_is_what_follows_its_name():
    assert label(["a=1", "b=2", "b=3"], "b=") == "2"
    assert label(["a=1"], "b=") is None


def test_a_record_is_issued_at_the_time_of_the_clock_that_was_given():
    moment = datetime(2030, 5, 1, tzinfo=UTC)
    record = enrolee_record(DEVICE.kpm_id, DEVICE.kpm, DEVICE.instruction, clock=Clock(now=lambda: moment))
    assert record.issued == moment
