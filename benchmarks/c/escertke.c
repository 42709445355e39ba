/* The handshake of ESCertKE in C, over OpenSSL alone: what bench_escertke.py compares with.
 *
 *     escertke_reference A.crt A.key B.crt B.key SECONDS
 *
 * One thread, memory BIOs, TLS 1.2, both self-signed certificates verified, 48 octets exported at either end and
 * compared. Prints the number of exchanges and the processor seconds that they took.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char LABEL[] = "EXPORTER-oneM2M-ESCertKE";

static void check(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "escertke_reference: %s\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static SSL_CTX *context(int server, const char *certificate, const char *key, const char *peer)
{
    SSL_CTX *made = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    check(made != NULL, "no context");
    SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(made, TLS1_2_VERSION);
    check(SSL_CTX_set_cipher_list(made, "ECDHE-ECDSA-AES128-GCM-SHA256"), "suite");
    check(SSL_CTX_set1_groups_list(made, "P-256"), "group");
    SSL_CTX_set_options(made, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    check(SSL_CTX_use_certificate_file(made, certificate, SSL_FILETYPE_PEM), certificate);
    check(SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM), key);
    check(SSL_CTX_load_verify_locations(made, peer, NULL), peer);
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(made), X509_V_FLAG_PARTIAL_CHAIN);
    return made;
}

/* What one end has written goes to the other as one message. */
static void carry(SSL *from, SSL *to)
{
    static char message[1 << 16];
    int length = BIO_read(SSL_get_wbio(from), message, sizeof message);
    check(length > 0, "no message");
    check(BIO_write(SSL_get_rbio(to), message, length) == length, "message lost");
}

static SSL *end_point(SSL_CTX *configured)
{
    SSL *made = SSL_new(configured);
    check(made != NULL, "no session");
    SSL_set_bio(made, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    return made;
}

static void step(SSL *ssl, int done)
{
    int result = SSL_do_handshake(ssl);
    check(done ? result == 1 : SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ, "the handshake failed");
}

static void exchange(SSL_CTX *initiating_context, SSL_CTX *terminating_context)
{
    unsigned char one[48], other[48];
    SSL *initiating = end_point(initiating_context), *terminating = end_point(terminating_context);
    SSL_set_connect_state(initiating);
    SSL_set_accept_state(terminating);
    step(initiating, 0);
    carry(initiating, terminating);
    step(terminating, 0);
    carry(terminating, initiating);
    step(initiating, 0);
    carry(initiating, terminating);
    step(terminating, 1);
    carry(terminating, initiating);
    step(initiating, 1);
    check(SSL_export_keying_material(initiating, one, 48, LABEL, strlen(LABEL), NULL, 0, 0) == 1, "export");
    check(SSL_export_keying_material(terminating, other, 48, LABEL, strlen(LABEL), NULL, 0, 0) == 1, "export");
    check(memcmp(one, other, 48) == 0, "the keys differ");
    SSL_free(initiating);
    SSL_free(terminating);
}

int main(int count, char **given)
{
    check(count == 6, "A.crt A.key B.crt B.key SECONDS");
    SSL_CTX *initiating = context(0, given[1], given[2], given[3]);
    SSL_CTX *terminating = context(1, given[3], given[4], given[1]);
    double seconds = atof(given[5]);
    exchange(initiating, terminating);
    long exchanges = 0;
    clock_t start = clock();
    double took;
    do {
        exchange(initiating, terminating);
        exchanges++;
        took = (double)(clock() - start) / CLOCKS_PER_SEC;
    } while (took < seconds);
    printf("%ld %f\n", exchanges, took);
    return 0;
}
