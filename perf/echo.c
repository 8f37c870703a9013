/* echo WORKERS: the echo server as a user of yoke writes it: a task for each connection. Prints its port and name. */
#include <string.h>
#include <yoke/io/stream.h>
#include <yoke/yoke.h>

#include "measure.h"

struct connection {
    yoke_stream *stream;
};

static int serve(void *arg)
{
    YOKE_SCOPED(yoke_stream) stream = ((struct connection *)arg)->stream;
    char buffer[4096];
    for (;;) {
        ssize_t n = yoke_read(stream, buffer, sizeof buffer);
        if (n <= 0)
            return (int)n;
        YOKE_TRY(yoke_write_all(stream, buffer, (size_t)n, NULL));
    }
}

static int app(void *arg)
{
    (void)arg;
    char address[64];
    YOKE_SCOPED(yoke_listener) listener = NULL;
    YOKE_TRY(yoke_listen(&listener, "127.0.0.1:0", 0));
    YOKE_TRY(yoke_listener_address(listener, address, sizeof address));
    printf("%s yoke\n", strchr(address, ':') + 1);
    fflush(stdout);
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    int rc = 0;
    while (rc >= 0) {
        yoke_stream *stream;
        rc = yoke_accept(listener, &stream);
        if (rc >= 0 && (rc = yoke_spawn(g, serve, struct connection, stream)) < 0)
            yoke_close(stream);
    }
    return yoke_group_close(g, rc);
}

int main(int argc, char **argv)
{
    return yoke_run(app, NULL, YOKE_OPTIONS(.workers = number(argc, argv, 1, 1))) < 0;
}
