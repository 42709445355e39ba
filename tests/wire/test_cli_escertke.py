"""``m2msec escertke`` as two people use it: two commands that share a directory and nothing else."""

from __future__ import annotations

import dataclasses
import json
import stat
import time
from pathlib import Path

import pytest

from escertke_support import Party
from forking import Command
from onem2m_security.certificates.public_key_id import key_hash
from onem2m_security.configuration import end_points
from onem2m_security.configuration.description import Description
from onem2m_security.errors import ConfigurationError, HandshakeTimeoutError
from onem2m_security.escertke.end_points import InitiatingEndPoint
from onem2m_security.escertke.files import MessageFiles
from onem2m_security.escertke.messages import MESSAGE_MAX_OCTETS, alert_in, check_message
from onem2m_security.identifiers import EntityId
from programs import PATIENCE, m2msec

A = Party.named("/cse1/Ca")
B = Party.named("/cse2/Cb")
C = Party.named("/cse3/Cc")


class Office:
    """One end-point's own files, and the directory that it shares."""

    def __init__(self, place: Path, party: Party, shared: Path) -> None:
        place.mkdir()
        self.place, self.party, self.shared = place, party, shared
        self.out = place / "e2e.key"
        (place / "own.crt").write_bytes(party.issued.full_chain_pem)
        (place / "own.key").touch(mode=0o600)
        (place / "own.key").write_bytes(party.issued.key_pem)

    def arguments(self, command: str, peer: Party, *more: str) -> list[str]:
        digest = key_hash(peer.x509).hex()
        return [
            "escertke", command, str(self.shared), "--entity", str(self.party.entity),
            "--cert", str(self.place / "own.crt"), "--key", str(self.place / "own.key"),
            "--peer", str(peer.entity), "--peer-name", digest, "--root-of-trust", digest,
            "--out", str(self.out), "--json", *more,
        ]  # fmt: skip

    def describes(self, *peers: Party, prove: str | None = None, more: str = "") -> Path:
        """Its configuration file: itself, and by which certificates it and these peers prove themselves."""
        prove = prove or '{ certificate = "own.crt", private-key = "own.key" }'
        entries = [f'[identity]\nid = "{self.party.entity}"\n']
        for peer in peers:
            digest = key_hash(peer.x509).hex()
            trust = f'certificate-name = "{digest}", root-of-trust = "{digest}"{more}'
            entries.append(f'[peers."{peer.entity}"]\nprove = {prove}\ntrust = {{ {trust} }}\n')
        file = self.place / "entity.toml"
        file.write_text("".join(entries), encoding="utf-8")
        return file

    def configured(self, command: str, *more: str) -> list[str]:
        """The same command by the file alone."""
        file = str(self.place / "entity.toml")
        return [
            "escertke",
            command,
            str(self.shared),
            "--config",
            file,
            "--out",
            str(self.out),
            "--json",
            *more,
        ]


@pytest.fixture
def offices(tmp_path):
    shared = tmp_path / "shared"
    return Office(tmp_path / "a", A, shared), Office(tmp_path / "b", B, shared)


@pytest.mark.parametrize("first", ["initiate", "respond"])
def test_two_commands_end_with_the_same_key_whichever_starts_first(offices, first):
    a, b = offices
    commands = {"initiate": a.arguments("initiate", B), "respond": b.arguments("respond", A)}
    started = Command(commands.pop(first))
    done = m2msec(*next(iter(commands.values())))
    before = started.finish(PATIENCE)
    assert before.returncode == 0, before.stderr
    one, other = json.loads(done.stdout), json.loads(before.stdout)
    assert one["pairwise_e2e_key_id"] == other["pairwise_e2e_key_id"]
    assert one["fingerprint"] == other["fingerprint"]
    assert {one["peer"], other["peer"]} == {"/cse1/Ca", "/cse2/Cb"}
    key = a.out.read_text()
    assert key == b.out.read_text()
    assert len(bytes.fromhex(key)) == 32
    assert stat.S_IMODE(a.out.stat().st_mode) == stat.S_IMODE(b.out.stat().st_mode) == 0o600
    assert key.strip() not in done.stdout + done.stderr + before.stdout + before.stderr


def test_the_directory_then_holds_the_four_messages_and_nothing_else(offices):
    a, b = offices
    responding = Command(b.arguments("respond", A))
    m2msec(*a.arguments("initiate", B))
    responding.finish(PATIENCE)
    names = sorted(path.name for path in a.shared.iterdir())
    exchange = names[0].partition(".")[0]
    assert names == [f"{exchange}.message-{number}" for number in (1, 2, 3, 4)]
    for number, name in enumerate(names, start=1):
        check_message(number, (a.shared / name).read_bytes())


def test_a_refused_initiator_is_told_why_and_the_responder_waits_for_the_next(offices, tmp_path):
    a, b = offices
    stranger = Office(tmp_path / "c", C, a.shared)
    responding = Command(b.arguments("respond", A))
    refused = m2msec(*stranger.arguments("initiate", B), check=False)
    assert refused.returncode == 1
    assert "the peer ended the exchange with unknown_ca" in refused.stderr
    assert not stranger.out.exists()
    m2msec(*a.arguments("initiate", B))
    responded = responding.finish(PATIENCE)
    assert responded.returncode == 0
    assert "is refused: the peer's certificate was refused" in responded.stderr
    assert a.out.read_text() == b.out.read_text()


def test_an_initiator_that_refuses_tells_the_responder(offices):
    a, b = offices
    responding = Command(b.arguments("respond", A))
    refused = m2msec(*a.arguments("initiate", C), check=False)
    assert refused.returncode == 1
    assert "certificate was refused" in refused.stderr
    assert not a.out.exists()
    m2msec(*a.arguments("initiate", B))
    responded = responding.finish(PATIENCE)
    assert "the peer ended the exchange with unknown_ca" in responded.stderr


def test_garbage_in_the_directory_is_refused_and_answered(offices):
    a, b = offices
    files = MessageFiles(a.shared)
    files.write("0" * 32, "message-1", b"\x16garbage")
    files.write("1" * 32, "message-1", bytes(MESSAGE_MAX_OCTETS + 5))
    files.write("2" * 32, "message-1", b"")
    (a.shared / "notes.txt").write_text("not ours")
    responding = Command(b.arguments("respond", A))
    m2msec(*a.arguments("initiate", B))
    assert responding.finish(PATIENCE).returncode == 0
    for digit in "012":
        assert alert_in(files.read(digit * 32, "refusal")).name == "unexpected_message"


def test_an_altered_message_3_gives_neither_a_key(offices):
    a, b = offices
    responding = Command(b.arguments("respond", A, "--timeout", "2"))
    files = MessageFiles(a.shared)
    end_point = InitiatingEndPoint(A.initiates_with(B))
    exchange = files.new_exchange()
    deadline = time.monotonic() + PATIENCE
    files.write(exchange, "message-1", end_point.start())
    message_3 = end_point.process(files.wait(exchange, "message-2", deadline=deadline)).message
    files.write(exchange, "message-3", message_3[:-1] + bytes((message_3[-1] ^ 1,)))
    assert alert_in(files.wait(exchange, "refusal", deadline=deadline)).name == "bad_record_mac"
    responded = responding.finish(PATIENCE)
    assert responded.returncode == 1
    assert "the proof over all messages fails" in responded.stderr
    assert "no exchange in" in responded.stderr
    assert not b.out.exists()


def test_nobody_answers(offices):
    a, _ = offices
    done = m2msec(*a.arguments("initiate", B, "--timeout", "0.2"), check=False)
    assert done.returncode == 1
    assert "no message-2 came" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_file_that_is_there_already_is_noticed_before_anything_is_sent(offices):
    for office, command, peer in zip(offices, ("initiate", "respond"), (B, A), strict=True):
        office.out.write_text("precious")
        done = m2msec(*office.arguments(command, peer), check=False)
        assert done.returncode == 1
        assert "is not overwritten" in done.stderr
        assert office.out.read_text() == "precious"
        assert not office.shared.exists()


@pytest.mark.parametrize("command", ["initiate", "respond"])
def test_missing_options_are_said_plainly(offices, command):
    a, _ = offices
    arguments = ["escertke", command, str(a.shared), "--entity", "/cse1/Ca", "--out", str(a.out)]
    arguments += ["--peer", "/cse2/Cb"]
    done = m2msec(*arguments, check=False)
    assert done.returncode == 1
    assert "say what the peer's certificate must prove" in done.stderr


# --- by a configuration file --------------------------------------------------------------------------------


def test_a_file_is_all_that_either_end_point_needs(offices):
    a, b = offices
    a.describes(B)
    b.describes(C, A)
    assert m2msec("config", "check", a.place / "entity.toml").stdout == "peer /cse2/Cb\n"
    responding = Command(b.configured("respond"))
    done = m2msec(*a.configured("initiate", "--peer", "/cse2/Cb"))
    responded = responding.finish(PATIENCE)
    assert responded.returncode == 0, responded.stderr
    one, other = json.loads(done.stdout), json.loads(responded.stdout)
    assert one["pairwise_e2e_key_id"] == other["pairwise_e2e_key_id"]
    assert (one["local"], one["peer"]) == (other["peer"], other["local"]) == ("/cse1/Ca", "/cse2/Cb")
    assert a.out.read_text() == b.out.read_text()


def test_a_peer_that_was_not_named_may_not_begin_though_the_file_knows_it(offices):
    a, b = offices
    a.describes(B)
    b.describes(C, A)
    responding = Command(b.configured("respond", "--peer", "/cse3/Cc", "--timeout", "3"))
    refused = m2msec(*a.configured("initiate", "--peer", "/cse2/Cb"), check=False)
    responded = responding.finish(PATIENCE)
    assert (refused.returncode, responded.returncode) == (1, 1)
    assert "the peer ended the exchange with unknown_ca" in refused.stderr
    assert "is refused" in responded.stderr
    assert not a.out.exists()
    assert not b.out.exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--entity", "/cse1/Ca"), ("--cert", "own.crt"), ("--require-crl", None)]
)
def test_what_the_file_says_is_not_said_again_by_options(offices, option, value):
    a, _ = offices
    a.describes(B)
    more = [option] if value is None else [option, value]
    done = m2msec(*a.configured("initiate", "--peer", "/cse2/Cb", *more), check=False)
    assert done.returncode == 1
    assert "leave out the others" in done.stderr
    assert not a.shared.exists()


def test_who_we_are_must_be_said(offices):
    a, _ = offices
    said = [part for part in a.arguments("initiate", B) if part not in {"--entity", "/cse1/Ca"}]
    done = m2msec(*said, check=False)
    assert done.returncode == 1
    assert "say who we are: --entity ID, or --config FILE" in done.stderr


KEY = '{ kpsa-id = "a@b.example", kpsa-file = "kpsa" }'


def test_a_peer_without_certificates_is_no_end_point(offices):
    a, b = offices
    (a.place / "entity.toml").write_text(
        f'[identity]\nid = "/cse1/Ca"\n[peers."/cse2/Cb"]\naddress = "127.0.0.1:1"\nprove = {KEY}\n',
        encoding="utf-8",
    )
    described = Description.read(a.place / "entity.toml")
    with pytest.raises(ConfigurationError, match="end-to-end keys take certificates at both ends"):
        end_points.initiating(described, B.entity)
    with pytest.raises(ConfigurationError, match="nobody could begin"):
        end_points.terminating(described)
    with pytest.raises(ConfigurationError, match="is '/cse2/Cb' meant"):
        end_points.initiating(described, EntityId("/cse2/Cbb"))
    with pytest.raises(ConfigurationError, match="say where it is"):
        Description.read(b.describes(A)).meeting(A.entity)


def test_only_an_end_point_may_be_without_an_address(offices):
    a, _ = offices
    file = a.describes(B, prove='{ maf = "maf.example.com" }')
    with pytest.raises(ConfigurationError, match=r"line 3: peers\./cse2/Cb: say where it listens"):
        Description.read(file)


def test_those_who_may_begin_are_shown_one_certificate(offices):
    """Who begins is not known before its certificate is."""
    a, _ = offices
    file = a.describes(B, C)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("own.crt", "other.crt", 1), encoding="utf-8")
    described = Description.read(file)
    with pytest.raises(ConfigurationError, match="not the same for all: name one of them"):
        end_points.terminating(described)
    assert end_points.terminating(described, C.entity).local == A.entity


def test_a_function_may_not_begin_unless_it_is_named(offices):
    a, _ = offices
    file = a.describes(dataclasses.replace(B, entity=EntityId("maf.example.com")))
    described = Description.read(file)
    with pytest.raises(ConfigurationError, match="nobody could begin"):
        end_points.terminating(described)
    assert end_points.terminating(described, EntityId("maf.example.com")).local == A.entity


# --- message files ------------------------------------------------------------------------------------------


def test_message_files_are_never_overwritten(tmp_path):
    files = MessageFiles(tmp_path)
    files.write("0" * 32, "message-1", b"first")
    with pytest.raises(ConfigurationError, match="is there already"):
        files.write("0" * 32, "message-1", b"second")
    assert files.read("0" * 32, "message-1") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["0" * 32 + ".message-1"]


def test_only_regular_files_are_read(tmp_path):
    files = MessageFiles(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("private")
    (tmp_path / ("0" * 32 + ".message-1")).symlink_to(secret)
    (tmp_path / ("0" * 32 + ".message-2")).mkdir()
    for kind in ("message-1", "message-2"):
        with pytest.raises(ConfigurationError):
            files.read("0" * 32, kind)


def test_no_more_than_a_message_is_read(tmp_path):
    files = MessageFiles(tmp_path)
    files.write("0" * 32, "message-1", bytes(10 * MESSAGE_MAX_OCTETS))
    assert len(files.read("0" * 32, "message-1")) == MESSAGE_MAX_OCTETS + 1


def test_exchanges_that_wait_for_an_answer_are_found(tmp_path):
    files = MessageFiles(tmp_path)
    for digit, kinds in (
        ("0", ["message-1"]),
        ("1", ["message-1", "message-2"]),
        ("2", ["message-1", "refusal"]),
        ("3", ["message-3"]),
    ):
        for kind in kinds:
            files.write(digit * 32, kind, b"x")
    (tmp_path / "short.message-1").write_bytes(b"x")
    assert list(files.unanswered()) == ["0" * 32]


def test_waiting_ends_at_the_deadline(tmp_path):
    with pytest.raises(HandshakeTimeoutError, match="no message-2 came"):
        MessageFiles(tmp_path).wait("0" * 32, "message-2", deadline=time.monotonic())


def test_a_file_in_the_place_of_the_directory_is_said_plainly(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="File exists"):
        MessageFiles(tmp_path / "file")
