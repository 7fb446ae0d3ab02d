#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>

// <linux/netfilter_ipv4.h> and <linux/netfilter_ipv6/ip6_tables.h> clash with <netinet/in.h>.
#define ORIGINAL_DESTINATION 80

void linux_pipe_resize(int end, int bytes) { fcntl(end, F_SETPIPE_SZ, bytes); }

ssize_t linux_splice(int from, int to, size_t bytes) {
    ssize_t count;
    do count = splice(from, NULL, to, NULL, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

int linux_original_destination(int socket, int is_ipv6, struct sockaddr_storage *address) {
    socklen_t length = is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    return getsockopt(socket, is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ORIGINAL_DESTINATION, address, &length) < 0 ? -errno : 0;
}

int linux_abort_connection(int socket) {
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    return connect(socket, &nowhere, sizeof nowhere) < 0 ? -errno : 0;
}

void linux_block_sigpipe(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}
