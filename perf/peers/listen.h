/* listen.h - what the plain servers share: a listener on loopback. Each thread may have one of its own at the same port. */
#ifndef YOKE_PERF_LISTEN_H
#define YOKE_PERF_LISTEN_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>

/* *port: 0 for any, then the one that it got. Non-blocking; < 0: errno tells. */
static inline int listen_on_loopback(int *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t length = sizeof address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)(const void *)&address, length) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)(void *)&address, &length) < 0)
        return -1;
    *port = ntohs(address.sin_port);
    return fd;
}

#endif
