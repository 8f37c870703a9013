/* libuv WORKERS: the echo server on libuv: in each thread a loop and a listener. */
#include <pthread.h>
#include <uv.h>

#include "../measure.h"
#include "listen.h"

struct answer {
    uv_write_t write;
    uv_buf_t buffer;
};

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    *buffer = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void written(uv_write_t *write, int status)
{
    struct answer *answer = (struct answer *)(void *)write;
    if (status < 0 && !uv_is_closing((uv_handle_t *)write->handle))
        uv_close((uv_handle_t *)write->handle, closed);
    free(answer->buffer.base);
    free(answer);
}

static void have_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct answer *answer;
    if (n > 0 && (answer = malloc(sizeof *answer)) != NULL) {
        answer->buffer = uv_buf_init(buffer->base, (unsigned)n);
        if (uv_write(&answer->write, stream, &answer->buffer, 1, written) == 0)
            return;
        free(answer);
    }
    free(buffer->base);
    if (n < 0)
        uv_close((uv_handle_t *)stream, closed);
}

static void connected(uv_stream_t *listener, int status)
{
    uv_tcp_t *stream = status < 0 ? NULL : malloc(sizeof *stream);
    if (stream == NULL || uv_tcp_init(listener->loop, stream) < 0)
        return;
    if (uv_accept(listener, (uv_stream_t *)stream) < 0 || uv_tcp_nodelay(stream, 1) < 0 ||
        uv_read_start((uv_stream_t *)stream, room, have_read) < 0)
        uv_close((uv_handle_t *)stream, closed);
}

static void *serve(void *arg)
{
    uv_loop_t loop;
    uv_tcp_t listener;
    if (uv_loop_init(&loop) < 0 || uv_tcp_init(&loop, &listener) < 0 || uv_tcp_open(&listener, *(int *)arg) < 0 ||
        uv_listen((uv_stream_t *)&listener, SOMAXCONN, connected) < 0)
        exit(1);
    uv_run(&loop, UV_RUN_DEFAULT);
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
    printf("%d libuv-%s\n", port, uv_version_string());
    fflush(stdout);
    serve(&listeners[0]);
}
