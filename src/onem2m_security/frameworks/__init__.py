"""One file per security framework (TS-0003), with the same verbs. No I/O.

``credential`` is what one side holds, ``initiate`` makes the ``Initiator`` of Entity A, of a client or of an
Enrolee, and ``accept`` what the other side decides by: a ``Resolver`` for keys, an ``Endpoint`` for
certificates. The keys of a MAF, an MEF or a BSF are in its store: ``servers/`` has their resolvers.

=====================  =========  =====================================  =====================
file                   clause     credential                             key out
=====================  =========  =====================================  =====================
saef_psk               8.2.2.1    Kpsa                                   none
saef_certificate       8.2.2.2    certificates, by a ``Trust``           none
saef_maf               8.2.2.3    Kc                                     none
saef_gba               8.2.3.2    Ks_(ext/int)_NAF                       none
maf_handshake          8.8.2.2    Km, or certificates                    Kc
mef_handshake          8.3.5.2.2  a target's own key, or certificates    none
bootstrap_psk          8.3.2.1    Kpm                                    Ke: Km, Kpsa
bootstrap_certificate  8.3.2.2    certificates                           Ke: Km, Kpsa
bootstrap_gba          8.3.2.3    Ks_(ext/int)_NAF                       Km, Kpsa
=====================  =========  =====================================  =====================

``steps.py`` has the contracts that they share, ``resolvers.py`` the resolvers, ``renewal.py`` the step that
is taken again while a session is open, ``request_reachable.py`` the same with the roles reversed (SA2),
``instructions.py`` what an Enrolee is to be provisioned for.
"""
