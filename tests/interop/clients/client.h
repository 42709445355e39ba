/* What the clients of all libraries share: their arguments, a socket, and what they print.
 *
 * usage: CLIENT PORT tls|dtls [name=value]...
 *
 *   psk=IDENTITY key=FILE              a pre-shared key: hex in a file
 *   cert=FILE key=FILE ca=FILE         certificates, PEM: chain, private key, trust anchors
 *   suites=TEXT                        what to offer, in the library's own words
 *   label=TEXT                         export 48 octets with this label (RFC 5705)
 *   ems=no                             without Extended Master Secret (RFC 7627)
 *   say=TEXT                           send this, and wait for an answer
 *
 * Prints "suite: NAME", "exported: HEX" and "received: TEXT", or "alert: NUMBER" and "failed: REASON".
 * Ends with 0 only after a complete handshake.
 */

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORTED_OCTETS 48
#define PATIENCE_SECONDS 60
#define SERVER_NAME "maf.example.com"

struct arguments {
    int port, datagram, without_ems;
    const char *psk, *key, *cert, *ca, *suites, *label, *say;
};

static struct arguments parse(int count, char **words) {
    struct arguments found = {0};
    if (count < 3)
        exit(2);
    found.port = atoi(words[1]);
    found.datagram = strcmp(words[2], "dtls") == 0;
    for (int place = 3; place < count; place++) {
        char *value = strchr(words[place], '=');
        if (value == NULL)
            exit(2);
        *value++ = '\0';
        if (strcmp(words[place], "psk") == 0) found.psk = value;
        else if (strcmp(words[place], "key") == 0) found.key = value;
        else if (strcmp(words[place], "cert") == 0) found.cert = value;
        else if (strcmp(words[place], "ca") == 0) found.ca = value;
        else if (strcmp(words[place], "suites") == 0) found.suites = value;
        else if (strcmp(words[place], "label") == 0) found.label = value;
        else if (strcmp(words[place], "ems") == 0) found.without_ems = 1;
        else if (strcmp(words[place], "say") == 0) found.say = value;
        else exit(2);
    }
    return found;
}

/* Octets of a file in hex; gives their number. */
static size_t read_key(const char *path, unsigned char *octets, size_t room) {
    FILE *file = fopen(path, "r");
    size_t number = 0;
    unsigned int octet;
    if (file == NULL)
        exit(2);
    while (number < room && fscanf(file, "%2x", &octet) == 1)
        octets[number++] = (unsigned char)octet;
    fclose(file);
    return number;
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int connected(const struct arguments *given) {
    struct sockaddr_in address = loopback(given->port);
    signal(SIGPIPE, SIG_IGN); /* whoever is refused goes on, to read why */
    int socket_ = socket(AF_INET, given->datagram ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (connect(socket_, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        exit(1);
    }
    return socket_;
}

static void print_exported(const unsigned char *octets) {
    printf("exported: ");
    for (size_t place = 0; place < EXPORTED_OCTETS; place++)
        printf("%02x", octets[place]);
    printf("\n");
}

static void print_received(const char *text, int length) {
    if (length > 0)
        printf("received: %.*s\n", length, text);
}

static int failed(int alert, const char *reason) {
    if (alert >= 0)
        printf("alert: %d\n", alert);
    printf("failed: %s\n", reason);
    return 1;
}
