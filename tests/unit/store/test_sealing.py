"""The key ring and the seal."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.errors import ConfigurationError, RecordCorruptedError, StoreUnavailableError
from onem2m_security.store.sealing import KeyRing, associated_data

COLUMNS = st.lists(st.none() | st.text(max_size=12) | st.integers(), max_size=5).map(tuple)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keyring"


@pytest.fixture
def ring(path):
    return KeyRing.create(path)


@given(one=COLUMNS, other=COLUMNS)
def test_different_columns_give_different_associated_data(one, other):
    assert (associated_data(one) == associated_data(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("", None), (None, "")),
        ((1,), ("1",)),
        (("-",), (None,)),
        (("s1:a",), ("a",)),
        ((b"a",), ("a",)),
        ((b"a",), ("b'a'",)),
        ((1.5,), ("1.5",)),
    ],
)
def test_look_alike_columns_give_different_associated_data(one, other):
    assert associated_data(one) != associated_data(other)


@given(octets=st.binary(max_size=256), columns=COLUMNS)
def test_what_was_sealed_opens(tmp_path_factory, octets, columns):
    ring = KeyRing.create(tmp_path_factory.mktemp("ring") / "keyring")
    sealed = ring.seal(ring.kek_ids[0], octets, associated_data(columns))
    assert ring.open(sealed, associated_data(columns)) == octets
    assert len(sealed) == 1 + 4 + 12 + len(octets) + 16
    assert sealed[:5] == b"\x01" + ring.kek_ids[0]
    if len(octets) >= 8:
        assert octets not in sealed


def test_two_seals_of_the_same_octets_differ(ring):
    (kek_id,) = ring.kek_ids
    assert ring.seal(kek_id, b"key", b"") != ring.seal(kek_id, b"key", b"")


def test_every_changed_octet_is_detected(ring):
    sealed = ring.seal(ring.kek_ids[0], b"sixteen octets!!", b"columns")
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(RecordCorruptedError):
            ring.open(bytes(altered), b"columns")


def test_other_columns_do_not_open(ring):
    sealed = ring.seal(ring.kek_ids[0], b"key", b"columns")
    with pytest.raises(RecordCorruptedError, match="altered or swapped"):
        ring.open(sealed, b"other columns")


@pytest.mark.parametrize("sealed", [b"", b"\x01", bytes(32), bytes(5000), "text", None, 7])
def test_what_is_no_seal_is_refused(ring, sealed):
    with pytest.raises(RecordCorruptedError):
        ring.open(sealed, b"")


def test_a_seal_of_another_ring_is_refused(ring, tmp_path):
    other = KeyRing.create(tmp_path / "other")
    with pytest.raises(RecordCorruptedError, match="does not hold"):
        ring.open(other.seal(other.kek_ids[0], b"key", b""), b"")


def test_sealing_under_an_unknown_kek_is_refused(ring):
    with pytest.raises(StoreUnavailableError, match="restore the key ring"):
        ring.seal(b"none", b"key", b"")


def test_the_file_is_private_whatever_the_umask(path):
    before = os.umask(0)
    try:
        KeyRing.create(path).rotate()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keyring"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_open_to_others_is_refused_with_the_way_out(ring, path, mode):
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        KeyRing.load(path)


def test_a_link_is_refused(ring, path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        KeyRing.load(tmp_path / "link")


def test_a_missing_file_is_refused(path):
    with pytest.raises(ConfigurationError, match="missing"):
        KeyRing.load(path)


def test_a_ring_is_never_overwritten(ring, path):
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        KeyRing.create(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text.splitlines()[0],
        lambda text: b"another title\n" + text.splitlines()[1],
        lambda text: text[:-3],
        lambda text: text + text.splitlines()[1],
        lambda text: text.replace(text.splitlines()[1][:2], b"zz"),
        lambda text: text + b"\xff",
        lambda text: text + b"\n" * 70_000,
        lambda text: text + b"01020304 00",
    ],
)
def test_a_damaged_file_is_refused_without_showing_it(ring, path, damage):
    secret = path.read_text().split()[-1]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigurationError, match="damaged") as caught:
        KeyRing.load(path)
    assert secret not in str(caught.value)


def test_rotation_adds_a_kek_and_keeps_the_old_ones(ring, path):
    (old,) = ring.kek_ids
    sealed = ring.seal(old, b"key", b"")
    new = ring.rotate()
    assert ring.kek_ids == (old, new)
    again = KeyRing.load(path)
    assert again.kek_ids == (old, new)
    assert again.open(sealed, b"") == b"key"
    assert again.open(ring.seal(new, b"key", b""), b"") == b"key"


def test_retirement_leaves_at_least_one_kek(ring, path):
    with pytest.raises(ConfigurationError, match="without any key"):
        ring.retire(keep={b"none"})
    assert len(KeyRing.load(path).kek_ids) == 1


def test_retirement_drops_the_other_keks(ring, path):
    (old,) = ring.kek_ids
    sealed = ring.seal(old, b"key", b"")
    new = ring.rotate()
    ring.retire(keep={new})
    assert ring.kek_ids == KeyRing.load(path).kek_ids == (new,)
    with pytest.raises(RecordCorruptedError, match="does not hold"):
        ring.open(sealed, b"")


def test_a_kek_that_another_process_added_is_found(ring, path):
    other = KeyRing.load(path)
    new = other.rotate()
    assert ring.open(other.seal(new, b"key", b""), b"") == b"key"


def test_a_ring_that_vanished_is_unavailable_not_corrupted(ring, path):
    sealed = bytearray(ring.seal(ring.kek_ids[0], b"key", b""))
    sealed[1] ^= 1
    path.unlink()
    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        ring.open(bytes(sealed), b"")


def test_what_a_crash_left_behind_does_not_hinder(ring, path):
    path.with_name("keyring.new").write_bytes(b"half a r")
    ring.rotate()
    assert len(KeyRing.load(path).kek_ids) == 2
    assert not path.with_name("keyring.new").exists()


def test_the_ring_does_not_show_its_keys(ring, path):
    kek = path.read_text().split()[-1]
    assert kek not in repr(ring)
    assert kek not in repr(vars(ring))
