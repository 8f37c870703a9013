// asio WORKERS: the echo server on asio: a session for each connection, its handlers run by all threads of one io_context.
#include <asio.hpp>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

using asio::ip::tcp;

class session : public std::enable_shared_from_this<session> {
public:
    explicit session(tcp::socket socket) : socket_(std::move(socket)) {}

    void read()
    {
        auto self = shared_from_this();
        socket_.async_read_some(asio::buffer(data_), [this, self](std::error_code error, std::size_t n) {
            if (!error)
                write(n);
        });
    }

private:
    void write(std::size_t n)
    {
        auto self = shared_from_this();
        asio::async_write(socket_, asio::buffer(data_, n), [this, self](std::error_code error, std::size_t) {
            if (!error)
                read();
        });
    }

    tcp::socket socket_;
    char data_[4096];
};

static void accept(tcp::acceptor &acceptor)
{
    acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
        if (!error) {
            socket.set_option(tcp::no_delay(true));
            std::make_shared<session>(std::move(socket))->read();
        }
        accept(acceptor);
    });
}

int main(int argc, char **argv)
{
    int workers = argc > 1 ? std::atoi(argv[1]) : 1;
    asio::io_context context(workers);
    tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    std::printf("%d asio-%d.%d.%d\n", acceptor.local_endpoint().port(), ASIO_VERSION / 100000, ASIO_VERSION / 100 % 1000,
                ASIO_VERSION % 100);
    std::fflush(stdout);
    accept(acceptor);
    for (int i = 1; i < workers; i++)
        std::thread([&context] { context.run(); }).detach();
    context.run();
}
