"""What is said about the configuration file, from its models: an example, the schema, the manual's page."""

from __future__ import annotations

import enum
import re
import typing
from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo

from ..durations import show_duration
from ..gateway.upstream_terms import UpstreamAddress
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address
from ..net.limits import Limits
from ..net.local_address import UnixSocket
from ..peer_quotas import PeerQuotas
from ..release import Release
from .agent_settings import AgentSettings
from .bounds import LimitSettings, QuotaSettings
from .enrolment import EnrolmentSettings
from .entity_b import EntityBSettings
from .est import EstSettings
from .functions import BsfSettings, HssNafSettings, MafSettings, MefSettings
from .gateway import GatewaySettings
from .peers import MefPeerSettings, PeerSettings
from .prove import PROOFS
from .settings import IdentitySettings, Settings, StoreSettings
from .trust import TRUST
from .values import Table, kebab

EXAMPLE: Final = files(__package__).joinpath("example.toml").read_text(encoding="utf-8")
"""A configuration file with comments."""

_TABLES: Final[tuple[tuple[str, type[Table]], ...]] = (
    ("The whole file", Settings),
    ("`[identity]`", IdentitySettings),
    ("`[store]`", StoreSettings),
    ('`[peers."IDENTITY"]`', PeerSettings),
    ("`[entity-b]`", EntityBSettings),
    ("`[[gateway]]`", GatewaySettings),
    ("`[[enrolment]]`", EnrolmentSettings),
    ("`[[maf]]`", MafSettings),
    ("`[[maf.mefs]]`", MefPeerSettings),
    ("`[[mef]]`", MefSettings),
    ("`[mef.est]`", EstSettings),
    ("`[[bsf]]`", BsfSettings),
    ("`[[bsf.hss-nafs]]`", HssNafSettings),
    ("`[[agent]]`", AgentSettings),
    ("`[limits]`", LimitSettings),
    ("`[quotas]`", QuotaSettings),
)
_DESCRIBED_BY: Final[dict[type[Table], type]] = {LimitSettings: Limits, QuotaSettings: PeerQuotas}
"""Models that say nothing of their own: what they make says it."""

_IN_THE_COMMON_STORE: Final = (GatewaySettings, EnrolmentSettings, MafSettings, MefSettings, BsfSettings)
"""Models whose ``data`` is filled in from ``[store]`` before they see it: a file may leave it out."""

_NAMES: Final[dict[type, str]] = {
    bool: "true or false",
    int: "number",
    float: "number",
    timedelta: "duration",
    Path: "file",
    Address: "address",
    UpstreamAddress: "URL",
    UnixSocket: "Unix socket",
    Fqdn: "domain name",
    EntityId: "identity",
    KeyIdentifier: "key identifier",
}
_HEAD: Final = """\
# The configuration file

<!-- Made from the models by `m2msec config schema --markdown`; a test holds that it is what that prints. -->

One file in TOML describes an entity: what it serves, who it is, and its peers by identity. `m2msec serve`,
`m2msec gateway`, `m2msec agent`, `m2msec connect`, `m2msec listen`, `m2msec enrol` and `m2msec escertke`
read it; `m2msec config example` prints one with comments, `m2msec config check FILE` reads one with every
file that it names, `m2msec config schema` prints a JSON schema for editors.

Keys never stand in it, only the names of files that hold them; a relative name is beside the configuration
file. Durations are written as `90s`, `15m`, `24h` or `7d`, addresses as `HOST:PORT` or `[IPv6]:PORT`. A table
that may stand several times, such as `[[maf]]`, may stand alone as `[maf]`.
"""


def schema() -> dict[str, Any]:
    """The JSON schema, with what the models say of each key."""
    made = Settings.model_json_schema()
    for model in {table for _, table in _TABLES} | set(PROOFS.values()) | set(TRUST.values()):
        of_model = made if model is Settings else made["$defs"].get(model.__name__)
        for name, described in descriptions(model).items():
            if of_model is not None and kebab(name) in of_model["properties"]:
                of_model["properties"][kebab(name)]["description"] = described
        if of_model is not None and model in _IN_THE_COMMON_STORE:
            of_model["required"].remove("data")
    return made


def descriptions(model: type[Table]) -> dict[str, str]:
    """What the docstrings of a model and of those that it stems from say about each field."""
    found: dict[str, str] = {}
    for stem in reversed(_DESCRIBED_BY.get(model, model).__mro__):
        attributes = (stem.__doc__ or "").partition("Attributes:\n")[2]
        for name, text in re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE):
            found[name] = " ".join(text.split())
    return found


def page() -> str:
    """The manual's page about the file."""
    parts = [_HEAD, *(_section(title, model) for title, model in _TABLES)]
    parts.append("## `prove`: how we prove ourselves to a peer\n\nOne of these:\n")
    parts += [_section("", model) for model in PROOFS.values()]
    parts.append("## `trust`: what a peer must prove to us\n\nOne of these:\n")
    parts += [_section("", model) for model in TRUST.values()]
    parts.append(f"## An example\n\n```toml\n{EXAMPLE}```")
    return "\n".join(parts)


def _section(title: str, model: type[Table]) -> str:
    summary = _marked((model.__doc__ or "").partition("\n")[0])
    lines = [f"## {title}\n\n{summary}\n"] if title else [f"{summary}\n"]
    lines += ["| key | value | default | |", "|---|---|---|---|", *_rows(model)]
    return "\n".join(lines) + "\n"


def _rows(model: type[Table]) -> Iterator[str]:
    """A row for each key; what is required comes first."""
    told = descriptions(model)
    for name, field in sorted(model.model_fields.items(), key=lambda one: not one[1].is_required()):
        default = "**required**"
        if model in _IN_THE_COMMON_STORE and name == "data":
            default = "that under `[store]`"
        elif not field.is_required():
            default = _shown(field.get_default(call_default_factory=True))
        yield f"| `{kebab(name)}` | {_kind(field)} | {default} | {_marked(told[name])} |"


def _marked(text: str) -> str:
    """A docstring's marks as Markdown's."""
    return text.replace("``", "`").replace("|", "\\|")


def _shown(value: object) -> str:
    """A default, as it would stand in the file; nothing for none."""
    if value is None or value in ((), {}) or isinstance(value, Table):
        return ""
    if isinstance(value, tuple):
        return "`[" + ", ".join(_shown(one).strip("`") for one in value) + "]`"
    if isinstance(value, timedelta):
        return f'`"{show_duration(value)}"`'
    if isinstance(value, enum.Enum):
        return f'`"{value.value}"`'
    return f"`{str(value).lower()}`"


def _kind(field: FieldInfo) -> str:
    kinds = [_name_of(one) for one in _leaves(field.annotation)]
    return " or ".join(dict.fromkeys(kind for kind in kinds if kind))


def _leaves(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever a field may be
    parts = [part for part in typing.get_args(annotation) if isinstance(part, type) or typing.get_args(part)]
    if not parts:
        yield annotation
    for part in parts:
        yield from _leaves(part)


def _name_of(leaf: Any) -> str:  # noqa: ANN401 - the same
    if leaf is type(None):
        return ""
    if not isinstance(leaf, type):
        return "text"
    if issubclass(leaf, Table):
        return "table"
    if issubclass(leaf, enum.Enum) and leaf is not Release:
        return ", ".join(f"`{member.value}`" for member in leaf)
    return _NAMES.get(leaf, "text")
