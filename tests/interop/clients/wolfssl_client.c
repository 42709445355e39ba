/* wolfSSL as Entity A, a MAF client or an Enrolee. Arguments and output: client.h. */

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "client.h"

/* By itself it offers suites with a key even to whoever has none. */
#define CERTIFICATE_SUITES                                                                            \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES128-CCM-8:"                 \
    "ECDHE-ECDSA-AES128-SHA256"

static struct arguments given;

static unsigned int show_key(WOLFSSL *session, const char *hint, char *identity, unsigned int identity_room,
                             unsigned char *key, unsigned int key_room) {
    (void)session, (void)hint;
    snprintf(identity, identity_room, "%s", given.psk);
    return (unsigned int)read_key(given.key, key, key_room);
}

static void show_certificate(WOLFSSL_CTX *context) {
    if (wolfSSL_CTX_use_certificate_chain_file(context, given.cert) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(context, given.key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_load_verify_locations(context, given.ca, NULL) != WOLFSSL_SUCCESS)
        exit(2);
}

static int end(WOLFSSL *session, int result) {
    char reason[WOLFSSL_MAX_ERROR_SZ];
    WOLFSSL_ALERT_HISTORY alerts;
    wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(session, result), reason);
    wolfSSL_get_alert_history(session, &alerts);
    return failed(alerts.last_rx.level == alert_fatal ? alerts.last_rx.code : -1, reason);
}

int main(int count, char **words) {
    given = parse(count, words);
    unsigned char octets[EXPORTED_OCTETS];
    char text[256];
    int result;

    wolfSSL_Init();
    WOLFSSL_CTX *context =
        wolfSSL_CTX_new(given.datagram ? wolfDTLSv1_2_client_method() : wolfTLSv1_2_client_method());
    const char *suites = given.suites || given.psk ? given.suites : CERTIFICATE_SUITES;
    if (suites && wolfSSL_CTX_set_cipher_list(context, suites) != WOLFSSL_SUCCESS)
        return 2;
    if (given.psk)
        wolfSSL_CTX_set_psk_client_callback(context, show_key);
    else
        show_certificate(context);
    wolfSSL_CTX_UseSNI(context, WOLFSSL_SNI_HOST_NAME, SERVER_NAME, strlen(SERVER_NAME));

    WOLFSSL *session = wolfSSL_new(context);
    if (given.without_ems)
        wolfSSL_DisableExtendedMasterSecret(session);
    wolfSSL_KeepArrays(session); /* else it forgets what the exporter needs */
    wolfSSL_set_fd(session, connected(&given));
    if (given.datagram) {
        struct sockaddr_in address = loopback(given.port);
        wolfSSL_dtls_set_peer(session, &address, sizeof address);
    }
    result = wolfSSL_connect(session);
    if (result != WOLFSSL_SUCCESS)
        return end(session, result);
    printf("suite: %s\n", wolfSSL_get_cipher_name(session));
    if (given.label) {
        wolfSSL_export_keying_material(session, octets, sizeof octets, given.label, strlen(given.label), NULL, 0, 0);
        print_exported(octets);
    }
    if (given.say) {
        wolfSSL_write(session, given.say, (int)strlen(given.say));
        result = wolfSSL_read(session, text, sizeof text);
        if (result < 0)
            return end(session, result);
        print_received(text, result);
    }
    wolfSSL_shutdown(session);
    return 0;
}
