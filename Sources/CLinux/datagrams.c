#include "CLinux.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct linux_datagrams {
    unsigned int slots, bytes_each;
    struct mmsghdr *headers;
    struct iovec *vectors;
    struct sockaddr_storage *peers;
    uint8_t *bytes;
};

linux_datagrams *linux_datagrams_create(unsigned int slots, unsigned int bytes_each) {
    linux_datagrams *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    *pool = (linux_datagrams){
        .slots = slots, .bytes_each = bytes_each,
        .headers = calloc(slots, sizeof(struct mmsghdr)), .vectors = calloc(slots, sizeof(struct iovec)),
        .peers = calloc(slots, sizeof(struct sockaddr_storage)), .bytes = malloc((size_t)slots * bytes_each),
    };
    if (!pool->headers || !pool->vectors || !pool->peers || !pool->bytes) {
        linux_datagrams_destroy(pool);
        return NULL;
    }
    for (unsigned int i = 0; i < slots; i++) {
        pool->vectors[i].iov_base = pool->bytes + (size_t)i * bytes_each;
        pool->vectors[i].iov_len = bytes_each;
        pool->headers[i].msg_hdr.msg_iov = &pool->vectors[i];
        pool->headers[i].msg_hdr.msg_iovlen = 1;
        pool->headers[i].msg_hdr.msg_name = &pool->peers[i];
    }
    return pool;
}

void linux_datagrams_destroy(linux_datagrams *pool) {
    if (!pool) return;
    free(pool->headers);
    free(pool->vectors);
    free(pool->peers);
    free(pool->bytes);
    free(pool);
}

uint8_t *linux_datagrams_bytes(linux_datagrams *pool, unsigned int slot) { return pool->bytes + (size_t)slot * pool->bytes_each; }
unsigned int linux_datagrams_length(const linux_datagrams *pool, unsigned int slot) { return pool->headers[slot].msg_len; }
void linux_datagrams_set_length(linux_datagrams *pool, unsigned int slot, unsigned int length) {
    pool->headers[slot].msg_len = length;
}
struct sockaddr_storage *linux_datagrams_peer(linux_datagrams *pool, unsigned int slot) { return &pool->peers[slot]; }
socklen_t linux_datagrams_peer_length(const linux_datagrams *pool, unsigned int slot) {
    return pool->headers[slot].msg_hdr.msg_namelen;
}
void linux_datagrams_set_peer_length(linux_datagrams *pool, unsigned int slot, socklen_t length) {
    pool->headers[slot].msg_hdr.msg_namelen = length;
}

int linux_datagrams_receive(linux_datagrams *pool, int socket, unsigned int slots) {
    if (slots > pool->slots) slots = pool->slots;
    for (unsigned int i = 0; i < slots; i++) {
        pool->vectors[i].iov_len = pool->bytes_each;
        pool->headers[i].msg_hdr.msg_name = &pool->peers[i];
        pool->headers[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_storage);
        pool->headers[i].msg_hdr.msg_flags = 0;
    }
    int count = recvmmsg(socket, pool->headers, slots, MSG_DONTWAIT, NULL);
    if (count < 0) return -errno;
    for (int i = 0; i < count; i++)
        if (pool->headers[i].msg_hdr.msg_flags & MSG_TRUNC) pool->headers[i].msg_len = 0;
    return count;
}

int linux_datagrams_send(linux_datagrams *pool, int socket, unsigned int first, unsigned int count) {
    for (unsigned int i = first; i < first + count; i++) {
        pool->vectors[i].iov_len = pool->headers[i].msg_len;
        pool->headers[i].msg_hdr.msg_name = pool->headers[i].msg_hdr.msg_namelen ? &pool->peers[i] : NULL;
    }
    int sent = sendmmsg(socket, pool->headers + first, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    int failure = errno;
    // sendmmsg writes msg_len back; nothing else is to restore.
    return sent < 0 ? -failure : sent;
}

int64_t linux_peer_uid(int socket) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ? -(int64_t)errno : (int64_t)peer.uid;
}
