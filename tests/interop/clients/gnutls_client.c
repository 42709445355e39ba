/* GnuTLS as Entity A, a MAF client or an Enrolee. Arguments and output: client.h. */

#include "client.h"

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#define SUITES                                                                                        \
    "+ECDHE-ECDSA:+ECDHE-PSK:+PSK:+CHACHA20-POLY1305:+AES-128-GCM:+AES-128-CCM:+AES-128-CCM-8:"      \
    "+AES-128-CBC:+AEAD:+SHA256"

static void prioritise(gnutls_session_t session, const struct arguments *given) {
    char text[512];
    snprintf(text, sizeof text, "NONE:+VERS-%s1.2:%s:+COMP-NULL:+GROUP-SECP256R1:+SIGN-ECDSA-SHA256:+CTYPE-X509%s",
             given->datagram ? "DTLS" : "TLS", given->suites ? given->suites : SUITES,
             given->without_ems ? ":%NO_SESSION_HASH" : "");
    if (gnutls_priority_set_direct(session, text, NULL) != 0)
        exit(2);
}

static void show_key(gnutls_session_t session, const struct arguments *given) {
    unsigned char octets[256];
    gnutls_psk_client_credentials_t credentials;
    gnutls_datum_t key = {octets, (unsigned int)read_key(given->key, octets, sizeof octets)};
    gnutls_psk_allocate_client_credentials(&credentials);
    gnutls_psk_set_client_credentials(credentials, given->psk, &key, GNUTLS_PSK_KEY_RAW);
    gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials);
}

static void show_certificate(gnutls_session_t session, const struct arguments *given) {
    gnutls_certificate_credentials_t credentials;
    gnutls_certificate_allocate_credentials(&credentials);
    if (gnutls_certificate_set_x509_key_file(credentials, given->cert, given->key, GNUTLS_X509_FMT_PEM) < 0 ||
        gnutls_certificate_set_x509_trust_file(credentials, given->ca, GNUTLS_X509_FMT_PEM) < 1)
        exit(2);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_session_set_verify_cert(session, NULL, 0);
}

static int end(gnutls_session_t session, int error) {
    int told = error == GNUTLS_E_FATAL_ALERT_RECEIVED || error == GNUTLS_E_WARNING_ALERT_RECEIVED;
    return failed(told ? (int)gnutls_alert_get(session) : -1, gnutls_strerror(error));
}

int main(int count, char **words) {
    struct arguments given = parse(count, words);
    unsigned char octets[EXPORTED_OCTETS];
    char text[256];
    gnutls_session_t session;
    int done;

    gnutls_init(&session, GNUTLS_CLIENT | (given.datagram ? GNUTLS_DATAGRAM : 0));
    prioritise(session, &given);
    if (given.psk)
        show_key(session, &given);
    else
        show_certificate(session, &given);
    gnutls_server_name_set(session, GNUTLS_NAME_DNS, SERVER_NAME, strlen(SERVER_NAME));
    int socket_ = connected(&given); /* the next is a macro that looks at its argument twice */
    gnutls_transport_set_int(session, socket_);
    gnutls_handshake_set_timeout(session, PATIENCE_SECONDS * 1000);
    if (given.datagram)
        gnutls_dtls_set_timeouts(session, 1000, PATIENCE_SECONDS * 1000);

    do
        done = gnutls_handshake(session);
    while (done < 0 && !gnutls_error_is_fatal(done));
    if (done < 0)
        return end(session, done);
    printf("suite: %s\n", gnutls_ciphersuite_get(session));
    if (given.label) {
        gnutls_prf_rfc5705(session, strlen(given.label), given.label, 0, NULL, sizeof octets, (char *)octets);
        print_exported(octets);
    }
    gnutls_record_set_timeout(session, PATIENCE_SECONDS * 1000);
    if (given.say) {
        gnutls_record_send(session, given.say, strlen(given.say));
        do
            done = (int)gnutls_record_recv(session, text, sizeof text);
        while (done == GNUTLS_E_AGAIN || done == GNUTLS_E_INTERRUPTED);
        if (done < 0)
            return end(session, done);
        print_received(text, done);
    }
    gnutls_bye(session, GNUTLS_SHUT_WR);
    return 0;
}
