/* epoll WORKERS: the echo server written by hand: in each thread a listener, an epoll, and a loop of read and write. */
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../measure.h"
#include "listen.h"

enum { EVENTS = 256 };

static void accept_all(int epoll, int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = { .events = EPOLLIN, .data = { .fd = fd } };
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
}

static void echo(int fd)
{
    char buffer[4096];
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n) /* a client waits for its answer: there is always room for it */
        close(fd);
}

static void *serve(void *arg)
{
    int listener = *(int *)arg, epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS], event = { .events = EPOLLIN, .data = { .fd = listener } };
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        exit(1);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                echo(events[i].data.fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    enum { MOST = 16 };
    int workers = number(argc, argv, 1, 1), port = 0, listeners[MOST];
    pthread_t thread;
    for (int i = 0; i < workers && i < MOST; i++)
        if ((listeners[i] = listen_on_loopback(&port)) < 0)
            return 1;
    for (int i = 1; i < workers && i < MOST; i++)
        if (pthread_create(&thread, NULL, serve, &listeners[i]) != 0)
            return 1;
    printf("%d epoll\n", port);
    fflush(stdout);
    serve(&listeners[0]);
}
