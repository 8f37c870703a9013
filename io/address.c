/*
 * address.c - see address.h. Numeric addresses are taken apart here and now; a name costs one job of the blocking pool.
 */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <yoke/blocking.h>

#include "os.h"

enum { HOST_MOST = 256 };

static int parse_unix(const char *path, struct yoke__address *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&out->storage;
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof un->sun_path)
        return -EINVAL;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, length + 1);
    out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (path[0] == '@') { /* abstract: no file; the name is not ended by 0 */
        un->sun_path[0] = '\0';
        out->length--;
    }
    return 1;
}

static int parse_port(const char *text)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    long port = strtol(text, &end, 10);
    return *end == '\0' && port <= 65535 ? (int)port : -EINVAL;
}

static int put_v4(struct yoke__address *out, struct in_addr host, int port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&out->storage;
    *in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = host };
    out->length = sizeof *in;
    return 1;
}

static int put_v6(struct yoke__address *out, struct in6_addr host, int port)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&out->storage;
    *in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = host };
    out->length = sizeof *in6;
    return 1;
}

/* ---- names -------------------------------------------------------------------------------------------------------------- */

/* On the heap: getaddrinfo can take long, and a cancelled task does not wait for it. */
struct lookup {
    char host[HOST_MOST], port[8];
    bool passive;
    int count;
    struct yoke__address found[YOKE__ADDRESSES];
};

static int look_up(void *arg)
{
    struct lookup *lookup = arg;
    struct addrinfo *list;
    int rc = yoke__os_look_up(lookup->host, lookup->port, lookup->passive, &list);
    if (rc < 0)
        return rc;
    for (const struct addrinfo *one = list; one != NULL && lookup->count < YOKE__ADDRESSES; one = one->ai_next) {
        if (one->ai_addrlen > sizeof(struct sockaddr_storage))
            continue;
        struct yoke__address *to = &lookup->found[lookup->count++];
        memcpy(&to->storage, one->ai_addr, one->ai_addrlen);
        to->length = one->ai_addrlen;
    }
    freeaddrinfo(list);
    return lookup->count > 0 ? lookup->count : -ENOENT;
}

static int resolve_name(const char *host, const char *port, bool passive, struct yoke__address *out)
{
    struct lookup *lookup = yoke__os_alloc(sizeof *lookup, 16);
    if (lookup == NULL)
        return -ENOMEM;
    *lookup = (struct lookup){ .passive = passive };
    snprintf(lookup->host, sizeof lookup->host, "%s", host);
    snprintf(lookup->port, sizeof lookup->port, "%s", port);
    int rc = yoke_blocking_with(YOKE_BLOCKING_NAMES, true, yoke__os_free, look_up, lookup);
    if (rc == -ECANCELED)
        return rc; /* the pool frees it, when the name service has answered */
    for (int i = 0; i < rc; i++)
        out[i] = lookup->found[i];
    yoke__os_free(lookup);
    return rc;
}

/* ---- text --------------------------------------------------------------------------------------------------------------- */

int yoke__address_resolve(const char *text, bool passive, struct yoke__address out[YOKE__ADDRESSES])
{
    char host[HOST_MOST];
    struct in_addr v4;
    struct in6_addr v6;
    if (text == NULL)
        return -EINVAL;
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, &out[0]);
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return -EINVAL;
    size_t length = (size_t)(colon - text);
    const char *begin = text;
    bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    if (bracketed) {
        begin++;
        length -= 2;
    }
    if (length >= sizeof host || (!bracketed && memchr(begin, ':', length) != NULL))
        return -EINVAL; /* a bare IPv6 address: where does it end? */
    memcpy(host, begin, length);
    host[length] = '\0';
    int port = parse_port(colon + 1);
    if (port < 0)
        return port;
    if (bracketed)
        return inet_pton(AF_INET6, host, &v6) == 1 ? put_v6(&out[0], v6, port) : -EINVAL;
    if (length == 0) {
        v4.s_addr = htonl(passive ? INADDR_ANY : INADDR_LOOPBACK);
        return put_v4(&out[0], v4, port);
    }
    if (inet_pton(AF_INET, host, &v4) == 1)
        return put_v4(&out[0], v4, port);
    return resolve_name(host, colon + 1, passive, out);
}

int yoke__address_format(const struct yoke__address *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address->storage;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&address->storage;
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address->storage;
    int n;
    switch (address->storage.ss_family) {
    case AF_INET:
        n = snprintf(text, size, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof host), ntohs(in->sin_port));
        break;
    case AF_INET6:
        n = snprintf(text, size, "[%s]:%u", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host), ntohs(in6->sin6_port));
        break;
    case AF_UNIX: {
        size_t length = address->length - offsetof(struct sockaddr_un, sun_path);
        if (address->length <= offsetof(struct sockaddr_un, sun_path))
            n = snprintf(text, size, "unix:"); /* the unnamed end of a pair, or a client */
        else if (un->sun_path[0] == '\0')
            n = snprintf(text, size, "unix:@%.*s", (int)(length - 1), un->sun_path + 1);
        else
            n = snprintf(text, size, "unix:%.*s", (int)length, un->sun_path);
        break;
    }
    default:
        return -EAFNOSUPPORT;
    }
    return n >= 0 && (size_t)n < size ? 0 : -ENOSPC;
}
