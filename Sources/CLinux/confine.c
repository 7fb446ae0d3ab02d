#include "CLinux.h"
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    sets[0].effective = sets[0].permitted = (uint32_t)kept;
    sets[1].effective = sets[1].permitted = (uint32_t)(kept >> 32);
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int linux_set_parent_death_signal(int signal) { return prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0); }

int64_t linux_peer_uid(int socket) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ? -(int64_t)errno : (int64_t)peer.uid;
}

int64_t linux_permitted_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    if (syscall(SYS_capget, &header, sets) < 0) return -errno;
    return (int64_t)((uint64_t)sets[1].permitted << 32 | sets[0].permitted);
}

int linux_confine(int64_t user, int64_t group, uint64_t capabilities) {
    int64_t permitted = linux_permitted_capabilities();
    if (permitted < 0) return (int)permitted;
    // What this process has not been given, it cannot keep.
    uint64_t kept = capabilities & (uint64_t)permitted;
    for (int capability = 0; capability < 64; capability++) {
        if (kept >> capability & 1 || prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
        // Without CAP_SETPCAP the bounding set stays; no_new_privs makes it mean nothing.
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EPERM) return -errno;
    }
    if (kept && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return -errno;
    if ((user >= 0 || group >= 0) && syscall(SYS_setgroups, 0, NULL) < 0) return -errno;
    if (group >= 0 && syscall(SYS_setresgid, group, group, group) < 0) return -errno;
    if (user >= 0 && syscall(SYS_setresuid, user, user, user) < 0) return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return -errno;
    int failure = set_capabilities(kept);
    if (failure) return failure;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}
