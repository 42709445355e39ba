"""The values of a configuration file: each is parsed once, from the text that a person wrote."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, PlainValidator

from ..durations import parse_duration, show_duration
from ..errors import ConfigurationError, IdentifierError
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address
from ..net.local_address import LocalAddress, parse_local
from ..onem2m.commands import DeviceConfigUri
from ..release import Release
from ..servers.association_policy import AssociationRule
from ..servers.est import NameRule
from ..servers.stakeholders import Stakeholder
from ..tls.suites import Suite
from .suite_names import parse_suite

_T = TypeVar("_T")


def _from_text(parse: Callable[[str], _T]) -> PlainValidator:
    def from_text(value: object) -> _T:
        if not isinstance(value, str):
            raise ValueError("a text is expected")  # noqa: TRY004 - pydantic turns it into its own error
        try:
            return parse(value)
        except (ConfigurationError, IdentifierError) as error:
            raise ValueError(str(error)) from error

    return PlainValidator(from_text, json_schema_input_type=str)


def as_list(value: object) -> object:
    """One table is as good as an array of one."""
    return [value] if isinstance(value, dict) else value


class _OneOrMany(BeforeValidator):
    """Takes one table for an array of one, and says so in the schema."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:  # noqa: ANN401
        array = handler(core)
        return {"anyOf": [array, array["items"]]}


ONE_OR_MANY = _OneOrMany(as_list)
"""Of an array of tables: one of them may stand alone."""

ONE_OR_MORE_TEXTS = _OneOrMany(lambda value: [value] if isinstance(value, str) else value)
"""The same of an array of texts."""

FqdnSetting = Annotated[Fqdn, _from_text(Fqdn.parse)]
EntitySetting = Annotated[EntityId, _from_text(EntityId.parse)]
AddressSetting = Annotated[Address, _from_text(Address.parse)]
LocalAddressSetting = Annotated[LocalAddress, _from_text(parse_local)]
KeyIdSetting = Annotated[KeyIdentifier, _from_text(KeyIdentifier.parse)]
KmIdSetting = Annotated[KeyIdentifier, _from_text(KeyIdentifier.parse_km_id)]
DurationSetting = Annotated[timedelta, _from_text(parse_duration), PlainSerializer(show_duration)]
DeviceConfigSetting = Annotated[DeviceConfigUri, _from_text(DeviceConfigUri.parse)]
RuleSetting = Annotated[AssociationRule, _from_text(AssociationRule.parse)]
StakeholderSetting = Annotated[Stakeholder, _from_text(Stakeholder.parse)]
NameRuleSetting = Annotated[NameRule, _from_text(NameRule.parse)]
ReleaseSetting = Annotated[
    Release, _from_text(Release.parse), PlainSerializer(lambda release: str(release.value))
]
SuiteSetting = Annotated[Suite, _from_text(parse_suite)]
FileSetting = Path
"""A file; a relative one is beside the configuration file."""


def kebab(name: str) -> str:
    """A field's name as it stands in the file."""
    return name.replace("_", "-")


class Table(BaseModel):
    """A table of the file: nothing in it that is not known, and nothing that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=kebab)

    @classmethod
    def words(cls) -> tuple[str, ...]:
        """The keys that it may have."""
        return tuple(map(kebab, cls.model_fields))


def member_by_keys(members: dict[str, type[Table]]) -> Callable[[Any], str | None]:
    """Which member of a union a table is, by the keys that are in it: whoever has most of them.

    Args:
        members: Tag to member.
    """

    def chosen(value: Any) -> str | None:  # noqa: ANN401 - whatever stands in the file
        if isinstance(value, Table):
            return next((tag for tag, member in members.items() if type(value) is member), None)
        if not isinstance(value, dict):
            return None
        shared = {tag: len(value.keys() & set(member.words())) for tag, member in members.items()}
        best = max(shared, key=lambda tag: shared[tag])
        return best if shared[best] else None

    return chosen
