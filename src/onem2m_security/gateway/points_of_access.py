"""pointOfAccess in the representation of an <AE> or a <remoteCSE>: read, and written with other URIs.

Of all content this is the one thing that agent and gateway change, where they are told to: an entity
registers with the plain address at which it listens, and is reached at another.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..onem2m.primitives import Operation

_KINDS: Final = ("m2m:ae", "m2m:csr")
_JSON: Final = frozenset({"application/json", "application/vnd.onem2m-res+json"})
_OPERATIONS: Final = frozenset({Operation.CREATE, Operation.UPDATE})

_Carried = TypeVar("_Carried", CarriedRequest, CarriedResponse)


def may_register(request: CarriedRequest) -> bool:
    """Whether a request could say where an entity is reached: only such are looked into."""
    return request.operation in _OPERATIONS and bool(request.content)


def mapped(carried: _Carried, change: Callable[[str], str]) -> _Carried:
    """The same with other URIs in its pointOfAccess; as it came, octet by octet, where nothing changes.

    Only JSON is looked into.

    Args:
        carried: A registration, an update, or the answer to one.
        change: What becomes of a URI.
    """
    if carried.content_type.partition(";")[0].lower() not in _JSON:
        return carried
    try:
        content = json.loads(carried.content)
    except (ValueError, RecursionError):
        return carried
    found = _points(content)
    if found is None:
        return carried
    kind, points = found
    changed = [change(one) for one in points]
    if changed == points:
        return carried
    content[kind]["poa"] = changed
    return replace(carried, content=json.dumps(content, ensure_ascii=False).encode())


def _points(content: Any) -> tuple[str, list[str]] | None:  # noqa: ANN401 - whatever came
    if not isinstance(content, dict) or len(content) != 1:
        return None
    [(kind, resource)] = content.items()
    points = resource.get("poa") if isinstance(resource, dict) and kind in _KINDS else None
    if not isinstance(points, list) or not all(isinstance(one, str) for one in points):
        return None
    return kind, points
