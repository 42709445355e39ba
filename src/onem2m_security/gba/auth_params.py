"""The directives of HTTP authentication headers: ``name=value, name="value"`` (RFC 2617 clause 1.2).

A bounded, strict reader and a writer. No library on the package index refuses repeated directives and bounds
its input, and both matter here: a reader that takes the last of two nonces can be led astray. This module
knows syntax only; what a directive means is in ``digest``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import MessageError
from ..texts import shown

HEADER_MAX_OCTETS = 4096
DIRECTIVES_MAX = 24

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  (a grammar rule of RFC 2616, not a credential)
_DIRECTIVE = re.compile(rf'[ \t]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(,|\Z)')
_SCHEME = re.compile(rf"[ \t]*({_TOKEN})[ \t]+")
_VISIBLE = re.compile(r"[\t\x20-\x7e]*")
_IS_TOKEN = re.compile(_TOKEN)


def parse_directives(header: str | bytes, *, scheme: str | None) -> dict[str, str]:
    """Read a header value into its directives, names in lower case, quoted strings unquoted.

    Args:
        header: The value, 4096 octets at most; printable ASCII and tabs only.
        scheme: The authentication scheme that must come first, in any case; None when there is none
            (Authentication-Info).

    Raises:
        MessageError: Too long, not well formed, another scheme, more than 24 directives, or one twice.
    """
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    if len(text) > HEADER_MAX_OCTETS:
        raise MessageError(f"an authentication header has at most {HEADER_MAX_OCTETS} octets")
    if not _VISIBLE.fullmatch(text):
        raise MessageError("an authentication header is printable ASCII")
    position = 0
    if scheme is not None:
        found = _SCHEME.match(text)
        if found is None or found[1].lower() != scheme.lower():
            raise MessageError(f"an authentication header of the scheme {scheme} is expected")
        position = found.end()
    directives: dict[str, str] = {}
    separator = ","
    while separator:
        directive = _DIRECTIVE.match(text, position)
        if directive is None:
            raise MessageError(
                f"an authentication header is not well formed at {shown(text[position:][:20])}"
            )
        name, quoted, token, separator = directive.groups()
        name = name.lower()
        if name in directives:
            raise MessageError(f"the directive {shown(name)} is there twice")
        if len(directives) == DIRECTIVES_MAX:
            raise MessageError(f"an authentication header has at most {DIRECTIVES_MAX} directives")
        directives[name] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = directive.end()
    return directives


def write_directives(directives: Iterable[tuple[str, str | None, bool]], *, scheme: str | None) -> str:
    """Write a header value.

    Args:
        directives: Name, value (None to leave it out) and whether the value is written as a quoted string.
        scheme: The authentication scheme to begin with, or None.

    Raises:
        MessageError: A value has characters other than printable ASCII, or is no token and not to be quoted.
    """
    written = []
    for name, value, is_quoted in directives:
        if value is None:
            continue
        if not (_VISIBLE if is_quoted else _IS_TOKEN).fullmatch(value):
            raise MessageError(f"the directive {name} cannot hold {shown(value)}")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        written.append(f'{name}="{escaped}"' if is_quoted else f"{name}={value}")
    text = ", ".join(written)
    return text if scheme is None else f"{scheme} {text}"
