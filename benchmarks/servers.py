"""The servers that are measured, of the working tree or of a base, each a process of its own."""

from __future__ import annotations

import contextlib
from pathlib import Path

from .provision import KM, MAF, MAF_KEY_ID, MEF, TARGET
from .running import Server, told
from .trees import Tree

LISTENING = r"listening on \S+?:(\d+)\b"
_CONFIG = """\
[maf]
fqdn = "{maf}"
listen = "127.0.0.1:0"
data = "{data}"

[quotas]
live-keys = 1000000000
key-registrations-per-second = 1000000
connections = 1000000
requests-per-second = 1000000
"""


def provisioned(tree: Tree, function: str, data: Path, count: int) -> float:
    """A store with so many clients, filled by the tree's own package; the seconds that it took."""
    script = Path(__file__).with_name("provision.py")
    return float(tree.run(script, function, data, count))


def maf(tree: Tree, data: Path, *, prefix: tuple[str, ...] = ()) -> contextlib.AbstractContextManager[Server]:
    """The MAF over this store; one client may do here what many do elsewhere."""
    if tree.has("src/onem2m_security/quotas.py"):
        config = data.with_name(data.name + ".toml")
        config.write_text(_CONFIG.format(maf=MAF, data=data.absolute()), encoding="utf-8")
        command = tree.m2msec("serve", "--config", config)
    else:  # a tree of before there were quotas
        command = tree.m2msec("maf", "serve", "--data", data, "--fqdn", MAF, "--listen", "127.0.0.1:0")
    return _told(tree, [*prefix, *command], count_syncs=not prefix)


def mef(tree: Tree, data: Path) -> contextlib.AbstractContextManager[Server]:
    """The MEF over this store."""
    return _told(tree, tree.m2msec("mef", "serve", "--data", data, "--fqdn", MEF, "--listen", "127.0.0.1:0"))


def maf_with_mef(tree: Tree, data: Path, at_mef: Server) -> contextlib.AbstractContextManager[Server]:
    """A MAF that knows nobody, and asks this MEF."""
    key_file = data.with_name(data.name + ".key")
    key_file.touch(mode=0o600)
    key_file.write_text(KM.reveal().hex(), encoding="ascii")
    command = tree.m2msec(
        *("maf", "serve", "--data", data, "--fqdn", MAF, "--listen", "127.0.0.1:0"),
        *("--mef", f"{MEF}=127.0.0.1:{at_mef.port}", "--mef-key-id", MAF_KEY_ID),
        *("--mef-key-file", key_file, "--enrolee-target", TARGET),
    )
    return _told(tree, command, count_syncs=True)


def entity_b_by_key(tree: Tree) -> contextlib.AbstractContextManager[Server]:
    """Entity B with one key in memory, over DTLS."""
    module = ("entity_b", "dtls") if _has_entity_b(tree) else ("bench_dtls", "--serve")
    return _entity_b(tree, *module)


def entity_b_by_certificate(tree: Tree, directory: Path) -> contextlib.AbstractContextManager[Server]:
    """Entity B with certificates at both ends, over TLS."""
    module = ("entity_b", "certificates") if _has_entity_b(tree) else ("bench_certificates", "--serve")
    return _entity_b(tree, *module, directory)


def _has_entity_b(tree: Tree) -> bool:
    """Trees of before this program had it in the modules that used it."""
    return tree.has("benchmarks/entity_b.py")


def _entity_b(tree: Tree, module: str, *given: object) -> contextlib.AbstractContextManager[Server]:
    command = tree.python("-m", f"benchmarks.{module}", *given)
    return told(command, environment=tree.environment, cwd=tree.root, pattern=r"^(\d+)$")


def _told(
    tree: Tree, command: list[str], *, count_syncs: bool = False
) -> contextlib.AbstractContextManager[Server]:
    return told(
        command, environment=tree.environment, cwd=tree.root, pattern=LISTENING, count_syncs=count_syncs
    )
