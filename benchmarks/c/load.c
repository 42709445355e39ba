/* The client that drives every server alike: many handshakes over OpenSSL alone, from blocking threads.
 *
 *     load PORT SUITE [option value]...
 *
 * Options: dtls 1; at-once THREADS; seconds S or count N; bind PORT (the one local port of one DTLS client);
 *     identity FORMAT, clients N, key HEX    a pre-shared key, the identity at random from N numbers
 *     keys FILE                              lines of identity and hexadecimal key, each used once, in turn
 *     certificates FORMAT, first N           numbered PEM files of a chain and its key, each used once, in turn
 *     hold 1                                 leave the sessions open until standard input ends
 *     request FILE                           one session a thread; what is counted is an answered request
 *
 * TLS 1.2 or DTLS 1.2 without tickets and without resumption; then close_notify, and the end of the socket. Prints
 * one line of JSON: what completed, what failed and why the last did, and the latencies in microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_SECONDS = 60, REPEAT_MICROSECONDS = 100000, REPEATS = 100 };

struct proof {
    char identity[128];
    unsigned char key[64];
    int key_length;
    X509 *certificate;
    STACK_OF(X509) *issuers;
    EVP_PKEY *private_key;
};

static const char *identity_format, *certificate_format, *request;
static struct proof *proofs; /* each used once; otherwise the first is what all have in common */
static long proof_count, clients = 1, count = -1, first;
static int dtls, hold, at_once = 1, local_port;
static double seconds = 1;
static struct sockaddr_in address;
static SSL_CTX *configured;

static atomic_long started;
static double deadline;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double *latencies;
static long completed, failed, room;
static char why[256];

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void require(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "load: %s\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static void tell(double latency, const char *error)
{
    pthread_mutex_lock(&lock);
    if (error) {
        failed++;
        snprintf(why, sizeof why, "%.200s", error);
    } else {
        if (completed == room)
            require((latencies = realloc(latencies, (room = room * 2 + 1024) * sizeof *latencies)) != NULL, "memory");
        latencies[completed++] = latency;
    }
    pthread_mutex_unlock(&lock);
}

static int hexadecimal(const char *text, unsigned char *octets, int most)
{
    int length = 0;
    for (; length < most && sscanf(text + 2 * length, "%2hhx", &octets[length]) == 1; length++)
        ;
    return length;
}

static unsigned show_key(SSL *ssl, const char *hint, char *identity, unsigned most, unsigned char *key, unsigned room)
{
    const struct proof *mine = SSL_get_app_data(ssl);
    (void)hint;
    if (strlen(mine->identity) >= most || (unsigned)mine->key_length > room)
        return 0;
    strcpy(identity, mine->identity);
    memcpy(key, mine->key, mine->key_length);
    return mine->key_length;
}

static unsigned repeat_after(SSL *ssl, unsigned before)
{
    (void)ssl;
    return before ? before : REPEAT_MICROSECONDS;
}

static void read_keys(const char *path)
{
    char identity[128], hex[130];
    FILE *file = fopen(path, "r");
    require(file != NULL, path);
    while (fscanf(file, "%127s %129s", identity, hex) == 2) {
        require((proofs = realloc(proofs, (proof_count + 1) * sizeof *proofs)) != NULL, "memory");
        struct proof *made = memset(&proofs[proof_count++], 0, sizeof *made);
        strcpy(made->identity, identity);
        made->key_length = hexadecimal(hex, made->key, sizeof made->key);
    }
    fclose(file);
}

static void read_certificates(void)
{
    char path[4096];
    require(count > 0, "certificates need a count");
    require((proofs = calloc(count, sizeof *proofs)) != NULL, "memory");
    for (proof_count = 0; proof_count < count; proof_count++) {
        struct proof *made = &proofs[proof_count];
        X509 *issuer;
        snprintf(path, sizeof path, certificate_format, (int)(first + proof_count));
        BIO *file = BIO_new_file(path, "r");
        require(file != NULL, path);
        require((made->certificate = PEM_read_bio_X509(file, NULL, NULL, NULL)) != NULL, path);
        made->issuers = sk_X509_new_null();
        while ((issuer = PEM_read_bio_X509(file, NULL, NULL, NULL)))
            sk_X509_push(made->issuers, issuer);
        ERR_clear_error();
        BIO_free(file);
        file = BIO_new_file(path, "r");
        require((made->private_key = PEM_read_bio_PrivateKey(file, NULL, NULL, NULL)) != NULL, path);
        BIO_free(file);
    }
}

static int connected(void)
{
    struct timeval patience = {PATIENCE_SECONDS, 0};
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(local_port)};
    int on = 1, fd = socket(AF_INET, dtls ? SOCK_DGRAM : SOCK_STREAM, 0);
    require(fd >= 0, "no socket");
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!dtls)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if ((local_port && bind(fd, (struct sockaddr *)&local, sizeof local)) ||
        connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

static SSL *session(int fd, const struct proof *mine)
{
    SSL *ssl = SSL_new(configured);
    require(ssl != NULL, "no session");
    SSL_set_app_data(ssl, (void *)mine);
    if (dtls) {
        BIO *bio = BIO_new_dgram(fd, BIO_NOCLOSE);
        BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &address);
        SSL_set_bio(ssl, bio, bio);
        SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
        DTLS_set_link_mtu(ssl, 1280);
        DTLS_set_timer_cb(ssl, repeat_after);
    } else {
        SSL_set_fd(ssl, fd);
    }
    if (mine->certificate)
        require(SSL_use_cert_and_key(ssl, mine->certificate, mine->private_key, mine->issuers, 1) == 1, "certificate");
    SSL_set_connect_state(ssl);
    return ssl;
}

static const char *handshake(SSL *ssl)
{
    int result, repeats = 0;
    while ((result = SSL_do_handshake(ssl)) != 1) {
        if (dtls && SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ && repeats++ < REPEATS) {
            DTLSv1_handle_timeout(ssl);
            continue;
        }
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        return reason ? reason : "the connection ended, or nobody answered";
    }
    return NULL;
}

/* One answer to one request: a head, and as many octets as its Content-Length says. */
static const char *ask(SSL *ssl)
{
    char answer[16384 + 1];
    int length = 0, result;
    if (SSL_write(ssl, request, strlen(request)) <= 0)
        return "the request could not be sent";
    while ((result = SSL_read(ssl, answer + length, sizeof answer - 1 - length)) > 0) {
        answer[length += result] = 0;
        char *body = strstr(answer, "\r\n\r\n"), *said = strcasestr(answer, "content-length:");
        if (body && length >= body + 4 - answer + (said && said < body ? atol(said + 15) : 0))
            return strncmp(answer, "HTTP/1.1 200", 12) ? "the request was refused" : NULL;
    }
    return "the connection ended before the answer";
}

static int more(void)
{
    long turn = atomic_fetch_add(&started, 1);
    return count >= 0 ? turn < count : now() < deadline;
}

static void requests(int fd, SSL *ssl)
{
    const char *error = handshake(ssl);
    while (!error && more()) {
        double begin = now();
        error = ask(ssl);
        if (!error)
            tell(now() - begin, NULL);
    }
    if (error)
        tell(0, error);
    else
        SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

static const struct proof *next_proof(long turn, struct proof *own, unsigned *random)
{
    if (proof_count)
        return &proofs[turn % proof_count];
    long number = ((long)rand_r(random) << 16 ^ rand_r(random)) % clients;
    snprintf(own->identity, sizeof own->identity, identity_format, number);
    return own;
}

static void *client(void *given)
{
    unsigned random = time(NULL) ^ getpid() ^ (unsigned)(long)given * 2654435761u;
    static _Thread_local struct proof own;
    if (!proof_count && proofs)
        own = proofs[0];
    if (request) {
        int fd = connected();
        require(fd >= 0, "cannot connect");
        requests(fd, session(fd, next_proof((long)given, &own, &random)));
        return NULL;
    }
    for (;;) {
        long turn = atomic_fetch_add(&started, 1);
        if (count >= 0 ? turn >= count : now() >= deadline)
            return NULL;
        double begin = now();
        int fd = connected();
        if (fd < 0) {
            tell(0, "cannot connect");
            continue;
        }
        SSL *ssl = session(fd, next_proof(turn, &own, &random));
        ERR_clear_error();
        const char *error = handshake(ssl);
        tell(now() - begin, error);
        if (!error && !hold)
            SSL_shutdown(ssl);
        SSL_free(ssl);
        if (error || !hold)
            close(fd);
    }
}

static int ascending(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double percentile(double share)
{
    return completed ? latencies[(long)((completed - 1) * share)] * 1e6 : 0;
}

static const char *contents(const char *path)
{
    static char octets[8192];
    FILE *file = fopen(path, "r");
    require(file != NULL, path);
    octets[fread(octets, 1, sizeof octets - 1, file)] = 0;
    fclose(file);
    return octets;
}

static void configure(const char *suite)
{
    configured = SSL_CTX_new(dtls ? DTLS_client_method() : TLS_client_method());
    require(configured != NULL, "no context");
    SSL_CTX_set_security_level(configured, 0);
    require(SSL_CTX_set_cipher_list(configured, suite), "unknown suite");
    SSL_CTX_set_max_proto_version(configured, dtls ? DTLS1_2_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(configured, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(configured, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_psk_client_callback(configured, show_key);
}

static void take(const char *name, const char *value)
{
    static struct proof common;
    if (!strcmp(name, "dtls")) dtls = atoi(value);
    else if (!strcmp(name, "at-once")) at_once = atoi(value);
    else if (!strcmp(name, "seconds")) seconds = atof(value);
    else if (!strcmp(name, "count")) count = atol(value);
    else if (!strcmp(name, "bind")) local_port = atoi(value);
    else if (!strcmp(name, "identity")) identity_format = value;
    else if (!strcmp(name, "clients")) clients = atol(value);
    else if (!strcmp(name, "key")) common.key_length = hexadecimal(value, common.key, sizeof common.key), proofs = &common;
    else if (!strcmp(name, "keys")) read_keys(value);
    else if (!strcmp(name, "certificates")) certificate_format = value;
    else if (!strcmp(name, "first")) first = atol(value);
    else if (!strcmp(name, "hold")) hold = atoi(value);
    else if (!strcmp(name, "request")) request = contents(value);
    else require(0, name);
}

int main(int arguments, char **given)
{
    require(arguments >= 5 && arguments % 2 == 1, "load PORT SUITE [option value]...");
    signal(SIGPIPE, SIG_IGN);
    for (int at = 3; at < arguments; at += 2)
        take(given[at], given[at + 1]);
    if (certificate_format)
        read_certificates();
    require(proof_count || (proofs && identity_format), "no identity to show");
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(given[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    configure(given[2]);
    pthread_t *threads = calloc(at_once, sizeof *threads);
    double begin = now();
    deadline = begin + seconds;
    for (long number = 0; number < at_once; number++)
        require(!pthread_create(&threads[number], NULL, client, (void *)number), "no thread");
    for (int number = 0; number < at_once; number++)
        pthread_join(threads[number], NULL);
    double took = now() - begin;
    qsort(latencies, completed, sizeof *latencies, ascending);
    printf("{\"completed\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"median\": %.0f, \"p95\": %.0f, \"p99\": %.0f, "
           "\"why\": \"%s\"}\n", completed, failed, took, percentile(.5), percentile(.95), percentile(.99), why);
    fflush(stdout);
    if (hold)
        while (getchar() != EOF)
            ;
    return 0;
}
