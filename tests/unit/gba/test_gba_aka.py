"""AKA: vectors, the USIM's verdicts, sequence numbers and resynchronisation."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.credentials import Secret
from onem2m_security.errors import AuthenticationError, CredentialError, MessageError
from onem2m_security.gba.aka import (
    ARRAY_SIZE,
    DELTA,
    SEQ_MAX,
    MacFailure,
    SequenceNumber,
    Success,
    SynchronisationFailure,
    Usim,
    authentication_vector,
    build_auts,
    resynchronised,
    verify_auts,
)
from onem2m_security.gba.milenage import Milenage
from onem2m_security.gba.tuak import Tuak

# TS 35.208 clause 4.3, test set 1.
K = Secret(bytes.fromhex("465b5ce8b199b49faa5f0a2ee238a6bc"))
OPC = Secret(bytes.fromhex("cd63cb71954a9f4e48a5994e37a02baf"))
RAND = bytes.fromhex("23553cbe9637a89d218ae64dae47bf35")
AMF = bytes.fromhex("b9b9")
SQN = SequenceNumber.from_octets(bytes.fromhex("ff9bb4d0b607"))
FUNCTIONS = Milenage(K, OPC)
STRANGER = Milenage(Secret(b"another key here"), OPC)

octets16 = st.binary(min_size=16, max_size=16)
sequence_numbers = st.integers(0, 2**48 - 1).map(SequenceNumber)


def vector(sqn, rand=RAND, functions=FUNCTIONS):
    return authentication_vector(functions, sqn=sqn, amf=AMF, rand=rand)


def sqn(seq, ind=0):
    return SequenceNumber.from_parts(seq, ind)


def offer(usim, number, functions=FUNCTIONS):
    made = vector(number, functions=functions)
    return usim.authenticate(made.rand, made.autn)


class TestSequenceNumber:
    @given(sequence_numbers)
    def test_octets_and_parts_round_trip(self, number):
        assert SequenceNumber.from_octets(number.octets) == number
        assert SequenceNumber.from_parts(number.seq, number.ind) == number
        assert len(number.octets) == 6

    def test_next_raises_seq_by_one_and_turns_ind(self):
        assert sqn(7, 30).next() == sqn(8, 31)
        assert sqn(8, 31).next() == sqn(9, 0)

    def test_ind_cycles_through_the_whole_array(self):
        number, seen = SequenceNumber(), set()
        for _ in range(ARRAY_SIZE):
            number = number.next()
            seen.add(number.ind)
        assert seen == set(range(ARRAY_SIZE))

    def test_never_wraps(self):
        assert sqn(SEQ_MAX - 1).next().seq == SEQ_MAX
        with pytest.raises(CredentialError, match="used up"):
            sqn(SEQ_MAX).next()

    def test_out_of_range_is_refused(self):
        for make in (
            lambda: SequenceNumber(-1),
            lambda: SequenceNumber(2**48),
            lambda: sqn(SEQ_MAX + 1),
            lambda: sqn(1, 32),
            lambda: SequenceNumber.from_octets(bytes(5)),
        ):
            with pytest.raises(CredentialError):
                make()


class TestVector:
    def test_known_answer_from_test_set_1(self):
        made = vector(SQN)
        # AUTN = SQN xor AK || AMF || MAC-A with the AK and f1 of the set.
        ak_sum = int.from_bytes(SQN.octets) ^ 0xAA689C648370
        assert made.autn == ak_sum.to_bytes(6) + AMF + bytes.fromhex("4a9ffac354dfafb3")
        assert made.xres.reveal().hex() == "a54211d5e3ba50bf"
        assert made.ck.reveal().hex() == "b40ba9a3c58b2a05bbf0d987b21bf8cb"
        assert made.ik.reveal().hex() == "f769bcd751044604127672711c6d3441"

    def test_a_random_rand_is_new_each_time(self):
        assert vector(SQN, rand=None).rand != vector(SQN, rand=None).rand

    def test_repr_shows_no_key(self):
        made = vector(SQN)
        assert made.ck.reveal().hex() not in repr(made)
        assert "Secret" not in repr(made)

    def test_wrong_lengths_are_refused(self):
        with pytest.raises(CredentialError, match="RAND"):
            vector(SQN, rand=bytes(15))
        with pytest.raises(CredentialError, match="AMF"):
            authentication_vector(FUNCTIONS, sqn=SQN, amf=b"\0", rand=RAND)


class TestUsim:
    @given(
        octets16,
        octets16,
        octets16,
        st.integers(1, DELTA),
        st.integers(0, 31),
        st.binary(min_size=2, max_size=2),
    )
    def test_home_and_usim_agree(self, k, opc, rand, seq, ind, amf):
        functions = Milenage(Secret(k), Secret(opc))
        made = authentication_vector(functions, sqn=sqn(seq, ind), amf=amf, rand=rand)
        assert Usim(functions).authenticate(made.rand, made.autn) == Success(made.xres, made.ck, made.ik)

    def test_home_and_usim_agree_with_tuak(self):
        functions = Tuak(Secret(b"k" * 32), Secret(b"t" * 32))
        made = vector(sqn(1), functions=functions)
        assert Usim(functions).authenticate(made.rand, made.autn) == Success(made.xres, made.ck, made.ik)

    def test_another_network_fails_by_its_mac(self):
        assert offer(Usim(FUNCTIONS), sqn(1), STRANGER) == MacFailure()

    @given(st.integers(0, 127))
    def test_any_changed_bit_of_autn_fails_by_the_mac(self, bit):
        made = vector(sqn(1))
        changed = (int.from_bytes(made.autn) ^ 1 << bit).to_bytes(16)
        usim = Usim(FUNCTIONS)
        assert usim.authenticate(made.rand, changed) == MacFailure()
        assert usim.accepted == (0,) * ARRAY_SIZE

    def test_a_replay_is_a_synchronisation_failure_and_changes_nothing(self):
        usim, made = Usim(FUNCTIONS), vector(sqn(5, 3))
        assert isinstance(usim.authenticate(made.rand, made.autn), Success)
        before = usim.accepted
        replay = usim.authenticate(made.rand, made.autn)
        assert isinstance(replay, SynchronisationFailure)
        assert verify_auts(FUNCTIONS, rand=made.rand, auts=replay.auts) == sqn(5, 3)
        assert usim.accepted == before

    def test_vectors_out_of_order_are_accepted_in_their_own_array_element(self):
        usim = Usim(FUNCTIONS)
        assert isinstance(offer(usim, sqn(10, 2)), Success)
        assert isinstance(offer(usim, sqn(9, 1)), Success)
        assert isinstance(offer(usim, sqn(9, 1)), SynchronisationFailure)
        assert usim.sqn_ms == sqn(10, 2)

    def test_a_jump_of_delta_is_the_last_accepted(self):
        usim = Usim(FUNCTIONS, delta=100)
        assert isinstance(offer(usim, sqn(101)), SynchronisationFailure)
        assert isinstance(offer(usim, sqn(100)), Success)

    def test_a_lag_of_limit_is_the_first_refused(self):
        usim = Usim(FUNCTIONS, limit=10)
        assert isinstance(offer(usim, sqn(100, 0)), Success)
        assert isinstance(offer(usim, sqn(90, 1)), SynchronisationFailure)
        assert isinstance(offer(usim, sqn(91, 1)), Success)

    def test_state_survives_a_restart(self):
        usim, made = Usim(FUNCTIONS), vector(sqn(5, 3))
        usim.authenticate(made.rand, made.autn)
        again = Usim(FUNCTIONS, accepted=usim.accepted)
        assert isinstance(again.authenticate(made.rand, made.autn), SynchronisationFailure)

    def test_unusable_state_and_bounds_are_refused(self):
        for settings in (
            {"accepted": (0,) * 31},
            {"accepted": (-1,) + (0,) * 31},
            {"accepted": (SEQ_MAX + 1,) + (0,) * 31},
            {"delta": 0},
            {"limit": 0},
        ):
            with pytest.raises(CredentialError):
                Usim(FUNCTIONS, **settings)

    def test_a_challenge_of_the_wrong_length_is_a_bad_message(self):
        usim = Usim(FUNCTIONS)
        with pytest.raises(MessageError, match="RAND"):
            usim.authenticate(bytes(15), bytes(16))
        with pytest.raises(MessageError, match="AUTN"):
            usim.authenticate(bytes(16), bytes(17))

    def test_results_and_usim_show_no_key(self):
        usim, made = Usim(FUNCTIONS), vector(sqn(1))
        assert repr(usim.authenticate(made.rand, made.autn)) == "Success()"
        assert K.reveal().hex() not in repr(usim)


class TestGbaU:
    """TS 33.220 clause 5.3.2: MAC* = MAC xor Trunc(SHA-1(IK)); the lowest bit of RES and XRES flipped."""

    def test_autn_carries_mac_star_and_xres_its_lowest_bit_flipped(self):
        plain = vector(SQN)
        on_uicc = plain.for_gba_u()
        mask = hashlib.sha1(plain.ik.reveal()).digest()[:8]
        assert on_uicc.autn[:8] == plain.autn[:8]
        assert bytes(a ^ b for a, b in zip(on_uicc.autn[8:], mask, strict=True)) == plain.autn[8:]
        assert on_uicc.xres.reveal().hex() == "a54211d5e3ba50be"

    def test_the_uicc_agrees(self):
        made = vector(sqn(1)).for_gba_u()
        verdict = Usim(FUNCTIONS).authenticate(made.rand, made.autn, gba_u=True)
        assert verdict == Success(made.xres, made.ck, made.ik)

    def test_neither_mode_accepts_the_autn_of_the_other(self):
        plain = vector(sqn(1))
        on_uicc = plain.for_gba_u()
        assert Usim(FUNCTIONS).authenticate(on_uicc.rand, on_uicc.autn) == MacFailure()
        assert Usim(FUNCTIONS).authenticate(plain.rand, plain.autn, gba_u=True) == MacFailure()


class TestResynchronisation:
    def test_auts_known_answer_from_test_set_1(self):
        # SQN xor the f5* of the set; MAC-S is over a zero AMF, so only its length is known from the set.
        auts = build_auts(FUNCTIONS, rand=RAND, sqn_ms=SQN)
        assert auts[:6] == (int.from_bytes(SQN.octets) ^ 0x451E8BECA43B).to_bytes(6)
        assert auts[6:] == FUNCTIONS.f1_star(RAND, SQN.octets, b"\0\0")
        assert len(auts) == 14

    @given(octets16, octets16, octets16, sequence_numbers)
    def test_auts_round_trip(self, k, opc, rand, number):
        functions = Milenage(Secret(k), Secret(opc))
        auts = build_auts(functions, rand=rand, sqn_ms=number)
        assert verify_auts(functions, rand=rand, auts=auts) == number

    @given(st.integers(0, 111))
    def test_any_changed_bit_is_refused(self, bit):
        auts = build_auts(FUNCTIONS, rand=RAND, sqn_ms=SQN)
        changed = (int.from_bytes(auts) ^ 1 << bit).to_bytes(14)
        with pytest.raises(AuthenticationError):
            verify_auts(FUNCTIONS, rand=RAND, auts=changed)

    def test_auts_of_another_rand_or_subscriber_is_refused(self):
        auts = build_auts(FUNCTIONS, rand=RAND, sqn_ms=SQN)
        with pytest.raises(AuthenticationError):
            verify_auts(FUNCTIONS, rand=bytes(16), auts=auts)
        with pytest.raises(AuthenticationError):
            verify_auts(STRANGER, rand=RAND, auts=auts)

    def test_wrong_lengths_are_bad_messages(self):
        with pytest.raises(MessageError, match="AUTS"):
            verify_auts(FUNCTIONS, rand=RAND, auts=bytes(13))
        with pytest.raises(MessageError, match="RAND"):
            verify_auts(FUNCTIONS, rand=bytes(15), auts=bytes(14))

    @pytest.mark.parametrize(
        "home",
        [sqn(3, 10), sqn(5_000, 10), sqn(2 * DELTA + 5_000)],
        ids=["home fell behind", "home repeats", "home ran far ahead"],
    )
    def test_one_round_brings_home_and_usim_together(self, home):
        usim = Usim(FUNCTIONS)
        assert isinstance(offer(usim, sqn(5_000, 10)), Success)
        refused = offer(usim, home)
        assert isinstance(refused, SynchronisationFailure)
        home = resynchronised(FUNCTIONS, sqn_he=home, rand=RAND, auts=refused.auts)
        assert isinstance(offer(usim, home.next()), Success)

    def test_a_replayed_auts_does_not_turn_home_back(self):
        old = build_auts(FUNCTIONS, rand=RAND, sqn_ms=sqn(10))
        assert resynchronised(FUNCTIONS, sqn_he=sqn(500), rand=RAND, auts=old) == sqn(500)

    def test_home_keeps_its_counter_only_if_its_next_number_is_new_to_the_usim(self):
        auts = build_auts(FUNCTIONS, rand=RAND, sqn_ms=sqn(500))
        for home, expected in ((sqn(499, 1), sqn(500)), (sqn(500, 1), sqn(500, 1))):
            assert resynchronised(FUNCTIONS, sqn_he=home, rand=RAND, auts=auts) == expected

    def test_a_false_auts_changes_nothing_and_raises(self):
        with pytest.raises(AuthenticationError):
            resynchronised(FUNCTIONS, sqn_he=sqn(5), rand=RAND, auts=bytes(14))
