from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maf_support import key_of
from mef_support import CSE, DEVICE
from onem2m_security.configuration.bounds import LimitSettings, QuotaSettings
from onem2m_security.configuration.settings import MAX_FILE_OCTETS, load
from onem2m_security.configuration.toml_lines import Lines
from onem2m_security.durations import parse_duration
from onem2m_security.errors import ConfigurationError
from onem2m_security.identifiers import Fqdn, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.limits import Limits
from onem2m_security.peer_quotas import PeerQuotas
from onem2m_security.servers.association_policy import AssociationRule
from programs import Programs, key_file, m2msec

WHOLE = """\
metrics = "127.0.0.1:9100"

[maf]
fqdn = "MAF.example.com."
listen = "127.0.0.1:5684"
data = "maf-data"
transports = ["tls"]
kc-lifetime = "1h"
enrolee-targets = ["/in-cse", "Cae=/other-cse"]

[[maf.mefs]]
fqdn = "mef.example.com"
address = "127.0.0.1:5685"
key-id = "maf@mef.example.com"
key-file = "maf-at-mef.key"

[[maf.mefs]]
fqdn = "mef.example.net"
address = "[::1]:5686"
key-id = "maf@mef.example.net"
key-file = "/etc/m2msec/other.key"
transport = "dtls"

[mef]
fqdn = "mef.example.com"
listen = "127.0.0.1:5685"
data = "/var/lib/mef"
enrolment-expiry = "7d"

[limits]
handshake-seconds = 3
connections = 10
"""


def written(directory: Path, text: str) -> Path:
    file = directory / "m2msec.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(directory: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(written(directory, text))
    return str(caught.value)


def test_a_whole_configuration_is_read_into_values(tmp_path):
    settings = load(written(tmp_path, WHOLE))
    [maf], [mef] = settings.maf, settings.mef
    assert settings.metrics == Address("127.0.0.1", 9100)
    assert (maf.fqdn, maf.listen, maf.data) == (
        Fqdn("maf.example.com"), Address("127.0.0.1", 5684), Path("maf-data"),
    )  # fmt: skip
    assert maf.transports == (Transport.TLS,)
    assert maf.kc_lifetime == timedelta(hours=1)
    assert maf.enrolee_targets == (AssociationRule.parse("/in-cse"), AssociationRule.parse("Cae=/other-cse"))
    assert [peer.fqdn for peer in maf.mefs] == [Fqdn("mef.example.com"), Fqdn("mef.example.net")]
    assert maf.mefs[0].key_id == KeyIdentifier.parse("maf@mef.example.com")
    assert (maf.mefs[1].address, maf.mefs[1].transport) == (Address("::1", 5686), Transport.DTLS)
    assert mef.enrolment_expiry == timedelta(days=7)
    assert mef.transports == (Transport.TLS, Transport.DTLS)
    assert settings.limits.limits() == Limits(handshake_seconds=3, connections=10)


def test_several_functions_of_a_kind_stand_in_arrays(tmp_path):
    one = '[[mef]]\nfqdn = "{}.example.com"\nlisten = "127.0.0.1:0"\ndata = "{}"\n'
    settings = load(written(tmp_path, one.format("a", "a") + one.format("b", "b")))
    assert [str(mef.fqdn) for mef in settings.mef] == ["a.example.com", "b.example.com"]
    assert settings.maf == ()


CHANGES = [
    ('kc-lifetime = "1h"', 'kc-lifetime = "soon"', 8, "maf.kc-lifetime", "is not a duration"),
    ('kc-lifetime = "1h"', "kc-lifetime = 3600", 8, "maf.kc-lifetime", "a text is expected"),
    ('fqdn = "MAF.example.com."', 'fqdn = "*.example.com"', 4, "maf.fqdn", "is not a domain name"),
    ('listen = "127.0.0.1:5684"', 'listen = "127.0.0.1"', 5, "maf.listen", "is not an address"),
    ('data = "maf-data"\n', "", 3, "maf.data", "Field required"),
    ('transports = ["tls"]', 'transports = ["tls", "sctp"]', 7, "maf.transports", "'tls' or 'dtls'"),
    ('transports = ["tls"]', "transports = []", 7, "maf.transports", "at least 1"),
    ('"Cae=/other-cse"', '"Cae=/a b"', 9, "maf.enrolee-targets", "is not an entity identifier"),
    ('key-id = "maf@mef.example.net"', 'key-id = "maf"', 20, "maf.mefs.key-id", "is not a key identifier"),
    ('transport = "dtls"', 'transport = "dtls"\nkey = "c2VjcmV0"', 23, "maf.mefs.key", "not permitted"),
    ('enrolment-expiry = "7d"', 'expiry = "7d"', 28, "mef.expiry", "not permitted"),
    ("handshake-seconds = 3", "handshake-seconds = -3", 31, "limits.handshake-seconds", "greater than 0"),
    ("connections = 10", "connections = 1.5", 32, "limits.connections", "integer"),
    ('metrics = "127.0.0.1:9100"', "metrics = 9100", 1, "metrics", "a text is expected"),
    ("[limits]", "[bounds]", 30, "bounds", "not permitted"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "reason"), CHANGES)
def test_an_error_names_the_file_the_line_and_the_key(tmp_path, old, new, line, key, reason):
    assert WHOLE.count(old) == 1
    told = refusal(tmp_path, WHOLE.replace(old, new))
    assert told.startswith(f"{tmp_path}/m2msec.toml, line {line}: {key}")
    assert reason in told
    assert "c2VjcmV0" not in told


def test_all_errors_are_told_at_once(tmp_path):
    told = refusal(tmp_path, WHOLE.replace('"1h"', '"x"').replace('"7d"', '"y"').replace("= 10", "= 0"))
    assert [line.partition(":")[0].rpartition(" ")[2] for line in told.splitlines()] == ["8", "28", "32"]


def test_the_second_of_two_tables_has_its_own_lines(tmp_path):
    text = '[[mef]]\nfqdn = "a.example.com"\nlisten = "127.0.0.1:0"\ndata = "a"\n' * 2
    assert "line 6: mef.fqdn" in refusal(tmp_path, text[::-1].replace('"a'[::-1], '"*'[::-1], 2)[::-1])


def test_toml_that_is_none_is_refused_with_its_line(tmp_path):
    told = refusal(tmp_path, WHOLE + "\n[maf\n")
    assert "not TOML" in told
    assert "line 34" in told


@pytest.mark.parametrize("text", ["", "# nothing\n", "[limits]\n"])
def test_a_configuration_of_nothing_is_refused(tmp_path, text):
    assert "nothing to run" in refusal(tmp_path, text)


def test_a_file_that_cannot_be_read_is_said_to_be_one(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / "missing.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"#" * (MAX_FILE_OCTETS + 1))
    with pytest.raises(ConfigurationError, match="longer than"):
        load(tmp_path / "x")


def test_the_environment_changes_nothing(tmp_path, monkeypatch):
    for name in ("MAF", "METRICS", "metrics", "LIMITS__CONNECTIONS"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    assert load(written(tmp_path, WHOLE)).metrics == Address("127.0.0.1", 9100)
    assert os.environ["METRICS"]


@given(st.text(max_size=300))
def test_any_text_is_a_configuration_or_is_refused(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigurationError):
        load(file)


NAMES = st.sampled_from(["a", "b", "c-d", "e_f"])


def leaves(value, path=()):
    """Every value of a TOML document with its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from leaves(inner, (*path, position))
    else:
        yield path, value


@given(st.lists(st.tuples(st.booleans(), st.lists(NAMES, min_size=1, max_size=2), NAMES), max_size=6))
@example(
    [
        (False, ["a"], "a"),
        (True, ["b"], "b"),
        (True, ["b", "a"], "a"),
        (True, ["b"], "b"),
        (False, ["b", "a"], "a"),
    ]
)
def test_every_key_is_found_on_its_line(tables):
    lines = []
    for is_array, header, key in tables:
        lines.append(("[[{}]]" if is_array else "[{}]").format(".".join(header)))
        lines.append(f"{key} = {len(lines) + 1}")  # each value is the number of its line
    text = "\n".join(lines)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for path, line in leaves(document):
        assert Lines(text).of(path) == line


def test_keys_are_found_however_they_are_written():
    text = """\
x = '''
[a]
b = 1'''
[ "a.b" . 'c d' ]
e.f = [
  "[a]",  # ]
  "b = 1",
]
g = { h = 1, i = [{ j = 2 }, { j = 3 }] }
k = "\N{NEXT LINE}\N{LINE SEPARATOR}"
l = 1
"""
    lines = Lines(text)
    assert tomllib.loads(text)["a.b"]["c d"]["g"]["i"][1] == {"j": 3}
    assert lines.of(("x",)) == 1
    assert lines.of(("a.b", "c d")) == 4
    assert lines.of(("a.b", "c d", "e", "f", 1)) == 5
    assert lines.of(("a.b", "c d", "g", "i", 1, "j")) == 9
    assert lines.of(("a.b", "c d", "l")) == 11
    assert lines.of(("b",)) is None


def test_a_place_that_is_not_there_has_the_line_of_what_is_around_it():
    assert Lines(WHOLE).of(("maf", 0, "mefs", 1, "port")) == 17
    assert Lines(WHOLE).of(("maf", 0, "mefs", 0, "port")) == 11
    assert Lines(WHOLE).of(("bsf", "fqdn")) is None


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("24h", 86400), ("7d", 604800)])
def test_durations(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "0s", "-1s", "1", "1.5h", "1w", "\uff19s", "9999999d"])
def test_what_is_no_duration(text):
    with pytest.raises(ConfigurationError, match="is not a duration"):
        parse_duration(text)


# --- as a program -------------------------------------------------------------------------------------------


def a_free_port() -> int:
    """A port that TCP and UDP have free at this moment; only a configuration file needs to name one."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port


def provisioned(programs: Programs) -> Path:
    """A MAF and an MEF on one port, with one Enrolee."""
    directory = programs.directory
    key_file(directory, "kpm", DEVICE.kpm.reveal())
    key_file(directory, "maf.key", key_of("maf at mef").reveal())
    m2msec(
        "mef", "add-enrolee", "--data", directory / "mef", "--kpm-id", "device@mef.example.com",
        "--kpm-file", directory / "kpm", "--enrolee-id", DEVICE.entity, "--target", "maf.example.com",
    )  # fmt: skip
    m2msec(
        "mef", "add-target", "--data", directory / "mef", "--key-id", "maf@mef.example.com",
        "--key-file", directory / "maf.key", "--target", "maf.example.com",
    )  # fmt: skip
    address = f"127.0.0.1:{a_free_port()}"
    return written(
        directory,
        f'[maf]\nfqdn = "maf.example.com"\nlisten = "{address}"\ndata = "maf"\n'
        f'enrolee-targets = ["{CSE}"]\n'
        f'[[maf.mefs]]\nfqdn = "mef.example.com"\naddress = "{address}"\n'
        'key-id = "maf@mef.example.com"\nkey-file = "maf.key"\n'
        f'[mef]\nfqdn = "mef.example.com"\nlisten = "{address}"\ndata = "mef"\n',
    )


def test_one_process_serves_both_on_one_port_and_asks_itself(programs):
    config = provisioned(programs)
    server = programs.start("serve", "--config", config, "--verbose")
    found = server.wait_for(r"MEF mef.example.com listening on (\S+) \(TLS and DTLS\)")
    address = found.group(1)
    assert f"MAF maf.example.com listening on {address}" in server.output
    device = programs.directory / "device"
    m2msec(
        "enrol", address, "--data", device, "--kpm-id", "device@mef.example.com", "--kpm-file",
        programs.directory / "kpm", "--enrolee-id", DEVICE.entity, "--target", "maf.example.com",
    )  # fmt: skip
    refused = m2msec(
        "connect", address, "--peer", CSE, "--credentials", device, "--maf", address, check=False
    )
    assert refused.returncode == 1  # no Entity B is there, but the MAF, which made a key for it
    server.wait_for("remotely provisioned")
    assert server.stop() == 0


def test_a_wrong_configuration_starts_nothing_and_has_no_traceback(tmp_path):
    done = m2msec("serve", "--config", written(tmp_path, WHOLE.replace('"1h"', '"x"')), check=False)
    assert done.returncode == 1
    assert "line 8: maf.kc-lifetime" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_key_file_is_named(tmp_path):
    done = m2msec("serve", "--check", "--config", written(tmp_path, WHOLE), check=False)
    assert done.returncode == 1
    assert "maf-at-mef.key" in done.stderr


def test_every_limit_and_every_quota_is_a_setting():
    assert {field.name for field in dataclasses.fields(Limits)} == {*LimitSettings.model_fields, "quotas"}
    assert {field.name for field in dataclasses.fields(PeerQuotas)} == set(QuotaSettings.model_fields)
