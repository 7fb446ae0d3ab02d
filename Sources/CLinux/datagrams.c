#include "CLinux.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// What tells the kernel how long each datagram of a run is.
union segment_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
};

struct linux_datagrams {
    unsigned int slots, bytes_each;
    struct mmsghdr *headers;
    /// For runs: as many of each as there are slots.
    struct mmsghdr *run_headers;
    struct iovec *run_vectors;
    union segment_control *controls;
    struct iovec *vectors;
    struct sockaddr_storage *peers;
    uint8_t *bytes;
    /// Slots that are not as receiving wants them.
    unsigned int used;
};

linux_datagrams *linux_datagrams_create(unsigned int slots, unsigned int bytes_each) {
    linux_datagrams *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    *pool = (linux_datagrams){
        .slots = slots, .bytes_each = bytes_each,
        .headers = calloc(slots, sizeof(struct mmsghdr)), .vectors = calloc(slots, sizeof(struct iovec)),
        .run_headers = calloc(slots, sizeof(struct mmsghdr)), .run_vectors = calloc(slots, sizeof(struct iovec)),
        .controls = calloc(slots, sizeof(union segment_control)),
        .peers = calloc(slots, sizeof(struct sockaddr_storage)), .bytes = malloc((size_t)slots * bytes_each),
    };
    if (!pool->headers || !pool->vectors || !pool->run_headers || !pool->run_vectors || !pool->controls || !pool->peers
        || !pool->bytes) {
        linux_datagrams_destroy(pool);
        return NULL;
    }
    for (unsigned int i = 0; i < slots; i++) {
        pool->vectors[i].iov_base = pool->bytes + (size_t)i * bytes_each;
        pool->headers[i].msg_hdr.msg_iov = &pool->vectors[i];
        pool->headers[i].msg_hdr.msg_iovlen = 1;
    }
    pool->used = slots;
    return pool;
}

void linux_datagrams_destroy(linux_datagrams *pool) {
    if (!pool) return;
    free(pool->headers);
    free(pool->vectors);
    free(pool->run_headers);
    free(pool->run_vectors);
    free(pool->controls);
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
    // Nearly always one or two were: to prepare all would cost more than to receive them.
    for (unsigned int i = 0; i < pool->used; i++) {
        pool->vectors[i].iov_len = pool->bytes_each;
        pool->headers[i].msg_hdr.msg_name = &pool->peers[i];
        pool->headers[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_storage);
        pool->headers[i].msg_hdr.msg_flags = 0;
    }
    int count = recvmmsg(socket, pool->headers, slots, MSG_DONTWAIT, NULL);
    // What was tried in vain was touched as well.
    pool->used = count < 0 ? 1 : (unsigned int)count < pool->slots ? (unsigned int)count + 1 : pool->slots;
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
    if (pool->used < first + count) pool->used = first + count;
    int sent = sendmmsg(socket, pool->headers + first, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    int failure = errno;
    // sendmmsg writes msg_len back; nothing else is to restore.
    return sent < 0 ? -failure : sent;
}

int linux_datagrams_send_runs(
    linux_datagrams *pool, int socket, const uint16_t *order, const uint16_t *starts, unsigned int count
) {
    for (unsigned int run = 0; run < count; run++) {
        struct msghdr *header = &pool->run_headers[run].msg_hdr;
        unsigned int first = starts[run], end = starts[run + 1];
        for (unsigned int i = first; i < end; i++)
            pool->run_vectors[i] = (struct iovec){
                .iov_base = linux_datagrams_bytes(pool, order[i]), .iov_len = pool->headers[order[i]].msg_len,
            };
        socklen_t name_length = pool->headers[order[first]].msg_hdr.msg_namelen;
        *header = (struct msghdr){
            .msg_name = name_length ? &pool->peers[order[first]] : NULL, .msg_namelen = name_length,
            .msg_iov = &pool->run_vectors[first], .msg_iovlen = end - first,
        };
        if (end - first == 1) continue;
        union segment_control *control = &pool->controls[run];
        uint16_t length = (uint16_t)pool->run_vectors[first].iov_len;
        control->header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof length), .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT,
        };
        memcpy(CMSG_DATA(&control->header), &length, sizeof length);
        header->msg_control = control;
        header->msg_controllen = sizeof *control;
    }
    int sent = sendmmsg(socket, pool->run_headers, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}
