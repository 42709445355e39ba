"""The software card: what is in its file, and that a challenge works once."""

import multiprocessing
import stat

import pytest

from gba_support import a_subscriber
from onem2m_security.clients.card import SoftwareCard
from onem2m_security.errors import ConfigurationError, MessageError
from onem2m_security.gba.aka import MacFailure, Success, SynchronisationFailure
from onem2m_security.gba.subscriber import AlgorithmSet


@pytest.fixture
def path(tmp_path):
    return tmp_path / "card"


def vectors(count, **changes):
    subscriber = a_subscriber(**changes)
    for _ in range(count):
        subscriber, vector = subscriber.next_vector()
        yield vector


@pytest.mark.parametrize("gba_u", [False, True])
def test_a_card_comes_back_equal_and_only_its_owner_can_read_it(path, gba_u):
    made = SoftwareCard.create(path, a_subscriber(), gba_u=gba_u)
    assert SoftwareCard.load(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.impi == a_subscriber().impi
    assert a_subscriber().k.reveal().hex() not in repr(made)


def test_a_card_is_never_overwritten(path):
    SoftwareCard.create(path, a_subscriber())
    with pytest.raises(ConfigurationError, match="never overwritten"):
        SoftwareCard.create(path, a_subscriber(2))


def test_what_a_card_accepted_it_refuses_after_a_restart(path):
    SoftwareCard.create(path, a_subscriber())
    for vector in vectors(40):
        assert isinstance(SoftwareCard.load(path).authenticate(vector.rand, vector.autn), Success)
        assert isinstance(
            SoftwareCard.load(path).authenticate(vector.rand, vector.autn), SynchronisationFailure
        )


def test_a_value_that_was_loaded_before_does_not_forget_what_came_after(path):
    card = SoftwareCard.create(path, a_subscriber())
    stale = SoftwareCard.load(path)
    [vector] = vectors(1)
    assert isinstance(card.authenticate(vector.rand, vector.autn), Success)
    assert isinstance(stale.authenticate(vector.rand, vector.autn), SynchronisationFailure)


def test_a_forged_challenge_changes_nothing(path):
    card = SoftwareCard.create(path, a_subscriber())
    before = path.read_bytes()
    assert card.authenticate(bytes(16), bytes(16)) == MacFailure()
    with pytest.raises(MessageError):
        card.authenticate(bytes(15), bytes(16))
    assert path.read_bytes() == before


def _authenticate(path, rand, autn, results):
    results.put(type(SoftwareCard.load(path).authenticate(rand, autn)).__name__)


@pytest.mark.long
def test_of_two_processes_with_one_challenge_one_succeeds(path):
    SoftwareCard.create(path, a_subscriber())
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    [vector] = vectors(1)
    processes = [
        context.Process(target=_authenticate, args=(path, vector.rand, vector.autn, results))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(results.get(timeout=30) for _ in processes) == ["Success", "SynchronisationFailure"]


def test_a_card_that_others_may_read_is_refused_with_the_way_out(path):
    SoftwareCard.create(path, a_subscriber())
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"chmod 600"):
        SoftwareCard.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"",
        lambda text: b"[]",
        lambda text: b"\xff" + text,
        lambda text: text + b" " * 9000,
        lambda text: text.replace(b"card 1", b"card 2"),
        lambda text: text.replace(b'"k": "', b'"k": "00'),
        lambda text: text.replace(b'"milenage"', b'"comp128"'),
        lambda text: text.replace(b"@operator", b":operator"),
        lambda text: text.replace(b'"accepted": [\n  0,', b'"accepted": ['),
        lambda text: text.replace(b'"accepted": [\n  0', b'"accepted": [\n  true'),
        lambda text: text.replace(b'"accepted": [\n  0', b'"accepted": [\n  -1'),
    ],
)
def test_a_damaged_card_is_refused_without_showing_what_is_in_it(path, change):
    SoftwareCard.create(path, a_subscriber())
    text = path.read_bytes()
    damaged = change(text)
    assert damaged != text
    path.write_bytes(damaged)
    with pytest.raises(ConfigurationError) as refused:
        SoftwareCard.load(path)
    assert a_subscriber().k.reveal().hex() not in str(refused.value)


def test_a_missing_card_and_one_that_cannot_be_written_are_told(path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SoftwareCard.load(path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        SoftwareCard.create(path / "no" / "card", a_subscriber())


def test_what_a_crash_left_behind_does_not_stop_the_card(path):
    card = SoftwareCard.create(path, a_subscriber())
    path.with_name("card.new").write_bytes(b"half a ca")
    [vector] = vectors(1)
    assert isinstance(card.authenticate(vector.rand, vector.autn), Success)
    assert not path.with_name("card.new").exists()
    assert {entry.name for entry in path.parent.iterdir()} == {"card", "card.lock"}


def test_a_tuak_card_is_a_card(path):
    from maf_support import key_of

    subscriber = a_subscriber()
    tuak = type(subscriber)(subscriber.impi, key_of("k"), key_of("topc"), algorithm=AlgorithmSet.TUAK)
    card = SoftwareCard.create(path, tuak)
    _, vector = tuak.next_vector()
    assert isinstance(card.authenticate(vector.rand, vector.autn), Success)
