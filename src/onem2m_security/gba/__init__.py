"""3GPP Generic Bootstrapping Architecture, without I/O: MILENAGE, TUAK, AKA, Digest AKA and the NAF keys.

TS 33.102, TS 33.220 and TS 24.109, as TS-0003 clauses 8.2.3.2 and 8.3.2.3 use them.
"""
