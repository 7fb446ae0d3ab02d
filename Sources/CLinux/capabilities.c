#include "CLinux.h"
#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int linux_keep_capability(int kept) {
    for (int capability = 0; capability < 64; capability++) {
        if (capability == kept || prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
        // Without CAP_SETPCAP the bounding set stays; no_new_privs makes it mean nothing.
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EPERM) return -errno;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return -errno;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    sets[kept / 32].effective = sets[kept / 32].permitted = 1u << (kept % 32);
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int linux_use_capability(int capability, int used) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets) < 0) return -errno;
    uint32_t bit = 1u << (capability % 32);
    if (used) sets[capability / 32].effective |= bit;
    else sets[capability / 32].effective &= ~bit;
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

void linux_use_heaps(int most) {
    mallopt(M_ARENA_MAX, most);
    mallopt(M_TRIM_THRESHOLD, 64 << 10);
}
