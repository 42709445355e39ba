"""Subscribers, their security settings, and the HSS as an interface."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from onem2m_security.credentials import Secret
from onem2m_security.errors import AuthenticationError, ConfigurationError, CredentialError, MessageError
from onem2m_security.gba.aka import SequenceNumber, Success, SynchronisationFailure, Usim, build_auts
from onem2m_security.gba.context import BootstrappedContext
from onem2m_security.gba.keys import Impi, KeyChoice, ks_of
from onem2m_security.gba.subscriber import AlgorithmSet, Guss, Hss, NafSettings, Subscriber
from onem2m_security.identifiers import Fqdn, KeyIdentifier

IMPI = Impi.parse("001010000000001@ims.mnc001.mcc001.3gppnetwork.org")
ALICE = Subscriber(IMPI, Secret(b"k" * 16), Secret(b"o" * 16))
NAF = Fqdn.parse("cse.provider.example")
DAY = timedelta(days=1)


class MemoryHss:
    """The smallest HSS: one process, a dict."""

    def __init__(self, *subscribers):
        self.subscribers = {subscriber.impi: subscriber for subscriber in subscribers}

    async def vectors(self, impi, *, auts=None, rand=None):
        if impi not in self.subscribers:
            raise AuthenticationError(f"{impi} is unknown")
        subscriber = self.subscribers[impi]
        if auts is not None:
            subscriber = subscriber.resynchronised(rand=rand, auts=auts)
        self.subscribers[impi], vector = subscriber.next_vector()
        return (vector,)

    async def guss(self, impi):
        return None

    async def entity(self, impi):
        return None


class TestSubscriber:
    def test_each_vector_has_the_next_sequence_number_and_a_new_rand(self):
        usim, subscriber, rands = Usim(ALICE.functions), ALICE, set()
        for turn in range(1, 70):
            subscriber, vector = subscriber.next_vector()
            assert subscriber.sqn == SequenceNumber.from_parts(turn, turn % 32)
            assert isinstance(usim.authenticate(vector.rand, vector.autn), Success)
            rands.add(vector.rand)
        assert len(rands) == 69
        assert ALICE.sqn == SequenceNumber()

    def test_tuak_works_the_same_way(self):
        subscriber = Subscriber(IMPI, Secret(b"k" * 32), Secret(b"t" * 32), algorithm=AlgorithmSet.TUAK)
        _, vector = subscriber.next_vector()
        assert isinstance(Usim(subscriber.functions).authenticate(vector.rand, vector.autn), Success)

    def test_a_barred_subscriber_gets_nothing(self):
        barred = replace(ALICE, barred=True)
        with pytest.raises(AuthenticationError, match="barred"):
            barred.next_vector()
        auts = build_auts(ALICE.functions, rand=bytes(16), sqn_ms=SequenceNumber(320))
        with pytest.raises(AuthenticationError, match="barred"):
            barred.resynchronised(rand=bytes(16), auts=auts)

    def test_an_answer_to_auts_goes_on_from_the_number_of_the_usim(self):
        ahead = SequenceNumber.from_parts(1000, 3)
        auts = build_auts(ALICE.functions, rand=bytes(16), sqn_ms=ahead)
        subscriber, vector = ALICE.asked(auts=auts, rand=bytes(16))
        assert subscriber.sqn == ahead.next()
        assert isinstance(
            Usim(ALICE.functions, accepted=(1000,) * 32).authenticate(vector.rand, vector.autn), Success
        )
        with pytest.raises(MessageError):
            ALICE.asked(auts=auts)

    def test_an_answer_without_auts_is_the_next_vector(self):
        subscriber, _ = ALICE.asked()
        assert subscriber.sqn == ALICE.sqn.next()

    def test_a_bootstrapping_is_of_the_subscriber_whose_key_made_it(self):
        rand = bytes(range(16))
        outputs = ALICE.functions.f2345(rand)
        b_tid = KeyIdentifier.from_octets(rand, NAF)
        issued = datetime(2026, 1, 1, tzinfo=UTC)
        context = BootstrappedContext(b_tid, ks_of(outputs.ck, outputs.ik), IMPI, issued, issued + DAY)
        ALICE.require_own(context)
        with pytest.raises(AuthenticationError, match="another key"):
            replace(ALICE, k=Secret(b"n" * 16)).require_own(context)
        with pytest.raises(AuthenticationError, match="barred"):
            replace(ALICE, barred=True).require_own(context)

    def test_used_up_numbers_are_an_error_and_no_vector(self):
        last = replace(ALICE, sqn=SequenceNumber(2**48 - 1))
        with pytest.raises(CredentialError, match="used up"):
            last.next_vector()

    def test_keys_of_another_length_are_refused_at_once(self):
        for change in (
            {"k": Secret(b"k" * 32)},
            {"opc": Secret(b"o" * 32)},
            {"amf": b"\0"},
            {"algorithm": AlgorithmSet.TUAK},
        ):
            with pytest.raises(CredentialError):
                replace(ALICE, **change)

    def test_repr_names_the_subscriber_and_shows_no_key(self):
        assert str(IMPI) in repr(ALICE)
        assert "Secret" not in repr(ALICE)
        assert "kkkk" not in repr(ALICE)


class TestHss:
    async def test_a_usim_ahead_is_caught_up_with_in_one_round(self):
        hss: Hss = MemoryHss(ALICE)
        usim = Usim(ALICE.functions, accepted=(1000,) * 32)
        (vector,) = await hss.vectors(IMPI)
        refused = usim.authenticate(vector.rand, vector.autn)
        assert isinstance(refused, SynchronisationFailure)
        (vector,) = await hss.vectors(IMPI, auts=refused.auts, rand=vector.rand)
        assert isinstance(usim.authenticate(vector.rand, vector.autn), Success)

    async def test_a_false_auts_leaves_the_subscriber_as_it_was(self):
        hss = MemoryHss(ALICE)
        with pytest.raises(AuthenticationError):
            await hss.vectors(IMPI, auts=bytes(14), rand=bytes(16))
        assert hss.subscribers[IMPI] == ALICE


class TestGuss:
    def test_only_a_named_and_allowed_naf_has_settings(self):
        allowed = NafSettings(NAF, lifetime=DAY)
        other = NafSettings(Fqdn.parse("other.example"), allowed=False)
        guss = Guss((allowed, other))
        assert guss.for_naf(NAF) == allowed
        assert guss.for_naf(other.naf) is None
        assert guss.for_naf(Fqdn.parse("unknown.example")) is None
        assert Guss().for_naf(NAF) is None

    def test_the_key_choice_must_fit_the_bootstrapping(self):
        for choice in KeyChoice:
            settings = (NafSettings(NAF, key_choice=choice),)
            assert Guss(settings, gba_u=choice.is_gba_u).for_naf(NAF).key_choice is choice
            with pytest.raises(ConfigurationError, match="gba_u"):
                Guss(settings, gba_u=not choice.is_gba_u)

    def test_unusable_settings_are_refused(self):
        with pytest.raises(ConfigurationError, match="more than one"):
            Guss((NafSettings(NAF), NafSettings(NAF, allowed=False)))
        for lifetime in (timedelta(), -DAY):
            with pytest.raises(ConfigurationError, match="lifetime"):
                NafSettings(NAF, lifetime=lifetime)
            with pytest.raises(ConfigurationError, match="lifetime"):
                Guss(lifetime=lifetime)
