"""MEFs and BSFs that we ask about others: each where it listens, with our key there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...errors import ConfigurationError
from ...identifiers import EntityId, Fqdn, KeyIdentifier
from ...net.address import Address
from ...net.link import Link
from .beginning import begin

if TYPE_CHECKING:
    from ...configuration.key_proofs import AskingKey
    from ...configuration.meeting import Role
    from ...frameworks.steps import Initiator

Way = Callable[[Address], Link]
"""How sessions travel to whoever listens there; ``Link`` itself is the simplest."""


@dataclass(frozen=True, slots=True)
class FunctionAddress:
    """``FQDN=HOST:PORT``: a MAF, MEF or BSF and where it listens."""

    fqdn: Fqdn
    address: Address

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``mef.example.com=192.0.2.1:5684``.

        Raises:
            ConfigurationError: It is not of this form.
            IdentifierError: The FQDN is none.
        """
        fqdn, equals, address = text.partition("=")
        if not equals:
            raise ConfigurationError(f"{text[:80]!r}: FQDN=HOST:PORT is expected")
        return cls(Fqdn.parse(fqdn), Address.parse(address))


@dataclass(frozen=True, slots=True)
class Asked:
    """A function that we ask.

    Attributes:
        fqdn: Its FQDN.
        link: The way to it.
        prove: Our own key there.
    """

    fqdn: Fqdn
    link: Link
    prove: AskingKey

    def how(self, local: EntityId, role: Role) -> Initiator:
        """How we prove ourselves to it, which is an MEF or a BSF to us.

        Raises:
            ConfigurationError: The file cannot be read, or holds no key.
            CredentialError: The key cannot be used.
        """
        return begin(self.prove, local, EntityId(str(self.fqdn)), role, self.link)


@dataclass(frozen=True, slots=True)
class AskedOptions:
    """Three options that are each given once for every function that is asked.

    Attributes:
        option: The first of them, ``--mef`` or ``--bsf``; the others begin with it.
        functions: Where they listen.
        key_ids: Our keys' identifiers there; the FQDN of each says whose it is.
        key_files: The files that hold the keys, in the order of their identifiers.
    """

    option: str
    functions: Sequence[FunctionAddress]
    key_ids: Sequence[KeyIdentifier]
    key_files: Sequence[str]

    def over(self, way: Way) -> list[Asked]:
        """All of them, with their keys, in the order of the keys' identifiers.

        Raises:
            ConfigurationError: A function without a key, a key without a function, or one of them twice.
        """
        from ...configuration.key_proofs import AskingKey

        if len(self.key_ids) != len(self.key_files):
            raise ConfigurationError(
                f"give one {self.option}-key-file for each {self.option}-key-id, in the same order"
            )
        addresses = {function.fqdn: function.address for function in self.functions}
        named = {key_id.fqdn for key_id in self.key_ids}
        if not addresses.keys() == named or not len(named) == len(self.functions) == len(self.key_ids):
            raise ConfigurationError(
                f"for each {self.option[2:].upper()} give one {self.option} FQDN=HOST:PORT, "
                f"one {self.option}-key-id relative@FQDN, one {self.option}-key-file"
            )
        return [
            Asked(
                key_id.fqdn,
                way(addresses[key_id.fqdn]),
                AskingKey.model_construct(key_id=key_id, key_file=Path(file)),
            )
            for key_id, file in zip(self.key_ids, self.key_files, strict=True)
        ]
