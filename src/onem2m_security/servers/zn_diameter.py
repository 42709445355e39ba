"""Zn in the form of TS 29.109 at the BSF: Bootstrapping-Info over Diameter, message by message.

The (D)TLS session below says who the NAF is; what it writes into Origin-Host gives it no right. One value of
this kind serves one connection. Nothing here opens a socket.
"""

from __future__ import annotations

from ..diameter import messages as dm
from ..diameter.bootstrapping_info import BootstrappingInfoRequest, encode_naf_key
from ..diameter.messages import Attribute, DiameterMessage
from ..errors import IdentifierError, MessageError, StoreError
from ..frameworks.steps import Established
from ..onem2m.primitives import RefusedError, Rsc
from ..telemetry import LOG
from .bsf import Bsf

_RESULTS = {
    Rsc.NOT_FOUND: dm.TRANSACTION_IDENTIFIER_INVALID,
    Rsc.ORIGINATOR_HAS_NO_PRIVILEGE: dm.NOT_AUTHORIZED,
}


class ZnDiameter:
    """The BSF's end of one Diameter connection.

    Attributes:
        is_over: The peer said that it leaves; the connection is to be closed.
        established: What the session means at the moment of a message; kept up to date by the owner.
    """

    def __init__(self, bsf: Bsf, established: Established) -> None:
        """Answer the NAF that this session authenticated."""
        self.is_over = False
        self._bsf = bsf
        self.established = established
        self._is_open = False
        self._origin: list[Attribute] = [
            (dm.ORIGIN_HOST, str(bsf.fqdn)),
            (dm.ORIGIN_REALM, dm.realm_of(bsf.fqdn)),
        ]

    async def answer(self, octets: bytes) -> bytes | None:
        """The answer to one message; None for an answer that nobody asked for.

        Raises:
            MessageError: It is no Diameter message: close the connection.
        """
        request = DiameterMessage.parse(octets)
        if not request.is_request:
            return None
        match request.command:
            case dm.CAPABILITIES_EXCHANGE:
                self._is_open = True
                own = dm.capabilities(self._bsf.fqdn, dm.APPLICATION_ZN)
                answer = request.answer([(dm.RESULT_CODE, dm.SUCCESS), *own])
            case _ if not self._is_open:
                raise MessageError("a Diameter connection begins with a Capabilities-Exchange")
            case dm.DEVICE_WATCHDOG:
                answer = request.answer([(dm.RESULT_CODE, dm.SUCCESS), *self._origin])
            case dm.DISCONNECT_PEER:
                self.is_over = True
                answer = request.answer([(dm.RESULT_CODE, dm.SUCCESS), *self._origin])
            case dm.BOOTSTRAPPING_INFO if request.application == dm.APPLICATION_ZN:
                answer = request.answer(
                    [*dm.application(dm.APPLICATION_ZN), *self._origin, *await self._info(request)]
                )
            case dm.BOOTSTRAPPING_INFO:
                answer = self._protocol_error(request, dm.APPLICATION_UNSUPPORTED)
            case _:
                answer = self._protocol_error(request, dm.COMMAND_UNSUPPORTED)
        return answer.octets()

    def _protocol_error(self, request: DiameterMessage, code: int) -> DiameterMessage:
        return request.answer([(dm.RESULT_CODE, code), *self._origin], is_error=True)

    async def _info(self, request: DiameterMessage) -> list[Attribute]:
        """The AVPs of a Bootstrapping-Info-Answer (TS 29.109 clause 5.2)."""
        try:
            asked = BootstrappingInfoRequest.decode(request)
            found = await self._bsf.naf_key(
                self.established, asked.b_tid, asked.naf, asked.ua_security_protocol_id
            )
            return [(dm.RESULT_CODE, dm.SUCCESS), *encode_naf_key(found)]
        except MessageError as error:
            return self._refuse((dm.RESULT_CODE, dm.MISSING_AVP), error)
        except IdentifierError as error:
            return self._refuse((dm.RESULT_CODE, dm.INVALID_AVP_VALUE), error)
        except RefusedError as error:
            known = _RESULTS.get(error.rsc)
            plain: Attribute = (dm.RESULT_CODE, dm.INVALID_AVP_VALUE)
            return self._refuse(plain if known is None else dm.experimental_result(known), error)
        except StoreError as error:
            LOG.error("request failed", local=str(self._bsf.fqdn), error=str(error))
            return [(dm.RESULT_CODE, dm.UNABLE_TO_COMPLY)]

    def _refuse(self, result: Attribute, error: Exception) -> list[Attribute]:
        peer = str(self.established.association.peer)
        LOG.info("request refused", local=str(self._bsf.fqdn), peer=peer, reason=str(error))
        return [result]
