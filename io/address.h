/*
 * address.h - socket addresses as text.
 */
#ifndef YOKE_IO_ADDRESS_H
#define YOKE_IO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct yoke__address {
    socklen_t length;
    struct sockaddr_storage storage;
};

enum { YOKE__ADDRESSES = 16 };

/*
 * The addresses that `text` means, at most YOKE__ADDRESSES; a name is looked up by the blocking pool. How many (> 0), -EINVAL, -ENOENT,
 * -EAGAIN, -ENOMEM, -ECANCELED. `passive`: to listen.
 */
int yoke__address_resolve(const char *text, bool passive, struct yoke__address out[YOKE__ADDRESSES]);

/* The other way round. 0; -ENOSPC; -EAFNOSUPPORT. */
int yoke__address_format(const struct yoke__address *address, char *text, size_t size);

#endif
