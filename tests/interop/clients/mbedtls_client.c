/* mbedTLS 2.28 as Entity A, a MAF client or an Enrolee. Arguments and output: client.h. */

#include "client.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/timing.h>

/* What the exporter is computed from: this version has none of its own. */
static struct {
    unsigned char secret[48], randoms[64];
    mbedtls_tls_prf_types prf;
} learned;

static int learn(void *unused, const unsigned char *secret, const unsigned char *keys, size_t mac_octets,
                 size_t key_octets, size_t iv_octets, const unsigned char client_random[32],
                 const unsigned char server_random[32], mbedtls_tls_prf_types prf) {
    (void)unused, (void)keys, (void)mac_octets, (void)key_octets, (void)iv_octets;
    memcpy(learned.secret, secret, sizeof learned.secret);
    memcpy(learned.randoms, client_random, 32);
    memcpy(learned.randoms + 32, server_random, 32);
    learned.prf = prf;
    return 0;
}

static void check(int error) {
    char reason[128];
    if (error == 0)
        return;
    mbedtls_strerror(error, reason, sizeof reason);
    exit(failed(-1, reason));
}

static void show_key(mbedtls_ssl_config *config, const struct arguments *given) {
    unsigned char octets[256];
    size_t number = read_key(given->key, octets, sizeof octets);
    check(mbedtls_ssl_conf_psk(config, octets, number, (const unsigned char *)given->psk, strlen(given->psk)));
}

static void show_certificate(mbedtls_ssl_config *config, const struct arguments *given) {
    static mbedtls_x509_crt chain, anchors;
    static mbedtls_pk_context key;
    check(mbedtls_x509_crt_parse_file(&chain, given->cert));
    check(mbedtls_pk_parse_keyfile(&key, given->key, NULL));
    check(mbedtls_x509_crt_parse_file(&anchors, given->ca));
    check(mbedtls_ssl_conf_own_cert(config, &chain, &key));
    mbedtls_ssl_conf_ca_chain(config, &anchors, NULL);
}

static int end(mbedtls_ssl_context *session, int error) {
    char reason[128];
    mbedtls_strerror(error, reason, sizeof reason);
    return failed(error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE ? session->in_msg[1] : -1, reason);
}

int main(int count, char **words) {
    struct arguments given = parse(count, words);
    int suites[2] = {0}, result;
    unsigned char octets[EXPORTED_OCTETS];
    char text[256];
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_config config;
    mbedtls_ssl_context session;
    mbedtls_timing_delay_context timer;
    mbedtls_net_context net;

    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_init(&session);
    check(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0));
    check(mbedtls_ssl_config_defaults(
        &config, MBEDTLS_SSL_IS_CLIENT,
        given.datagram ? MBEDTLS_SSL_TRANSPORT_DATAGRAM : MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
    mbedtls_ssl_conf_read_timeout(&config, PATIENCE_SECONDS * 1000);
    mbedtls_ssl_conf_export_keys_ext_cb(&config, learn, NULL);
    if (given.without_ems)
        mbedtls_ssl_conf_extended_master_secret(&config, MBEDTLS_SSL_EXTENDED_MS_DISABLED);
    if (given.suites) {
        suites[0] = mbedtls_ssl_get_ciphersuite_id(given.suites);
        mbedtls_ssl_conf_ciphersuites(&config, suites);
    }
    if (given.psk)
        show_key(&config, &given);
    else
        show_certificate(&config, &given);
    check(mbedtls_ssl_setup(&session, &config));
    /* The name goes into the ClientHello; that it is not the certificate's name is not what is tried here. */
    if (given.psk)
        check(mbedtls_ssl_set_hostname(&session, SERVER_NAME));
    net.fd = connected(&given);
    mbedtls_ssl_set_bio(&session, &net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
    mbedtls_ssl_set_timer_cb(&session, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);

    do
        result = mbedtls_ssl_handshake(&session);
    while (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE);
    if (result != 0)
        return end(&session, result);
    printf("suite: %s\n", mbedtls_ssl_get_ciphersuite(&session));
    if (given.label) {
        check(mbedtls_ssl_tls_prf(learned.prf, learned.secret, sizeof learned.secret, given.label, learned.randoms,
                                  sizeof learned.randoms, octets, sizeof octets));
        print_exported(octets);
    }
    if (given.say) {
        mbedtls_ssl_write(&session, (const unsigned char *)given.say, strlen(given.say));
        do
            result = mbedtls_ssl_read(&session, (unsigned char *)text, sizeof text);
        while (result == MBEDTLS_ERR_SSL_WANT_READ);
        if (result < 0)
            return end(&session, result);
        print_received(text, result);
    }
    mbedtls_ssl_close_notify(&session);
    return 0;
}
