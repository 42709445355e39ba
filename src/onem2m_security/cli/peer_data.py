"""What a peer sends, on standard output: as it is, or in lines that a script can tell apart."""

from __future__ import annotations

import base64
import json
import sys

from ..association import Association


def print_data(data: bytes, association: Association, *, as_json: bool) -> None:
    """Octets from a peer: as they are; or a line of JSON that says from whom, the octets in base64.

    The peer is named as its association's line names it: by its identity or, where that is not known, by its
    Credential-ID. Whatever it sends, it can write no line of its own.
    """
    if not as_json:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    sender = association.peer or association.credential_id
    line = {"from": str(sender), "data": base64.b64encode(data).decode("ascii")}
    print(json.dumps(line), flush=True)
