#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

// landlock(7), as far as the kernel has it. The numbers are of linux/landlock.h, which may be older than the kernel.

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

struct ruleset {
    uint64_t files, network, scope;
};

struct path_beneath {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

// Rights to files, by bit: execute, write, read a file, read a folder, remove a folder, remove a file, make a character device,
// folder, file, socket, FIFO, block device, symbolic link; refer (from version 2), truncate (3), ioctl of devices (5).
#define READ ((1ULL << 2) | (1ULL << 3))
#define WRITE ((1ULL << 1) | (1ULL << 5) | (1ULL << 7) | (1ULL << 8) | (1ULL << 13) | (1ULL << 14))
#define OF_ONE_FILE ((1ULL << 0) | (1ULL << 1) | (1ULL << 2) | (1ULL << 14) | (1ULL << 15))

static int allow(int ruleset, int folder, uint64_t rights) {
    struct path_beneath rule = {.allowed = rights, .parent = folder};
    return syscall(SYS_landlock_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0) < 0 ? -errno : 0;
}

// A path that is not there opens nothing.
static int allow_all(int ruleset, const char *const *paths, uint64_t rights) {
    for (; *paths; paths++) {
        int folder = open(*paths, O_PATH | O_CLOEXEC);
        if (folder < 0) continue;
        int failure = allow(ruleset, folder, rights);
        // The path is of a file.
        if (failure == -EINVAL) failure = allow(ruleset, folder, rights & OF_ONE_FILE);
        close(folder);
        if (failure) return failure;
    }
    return 0;
}

int linux_reach_only(const char *const *readable, const char *const *writable, int writable_folder, int binds) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
    if (version < 0) return -errno;
    struct ruleset all = {.files = (1ULL << 13) - 1};
    if (version >= 2) all.files |= 1ULL << 13;
    if (version >= 3) all.files |= 1ULL << 14;
    if (version >= 5) all.files |= 1ULL << 15;
    if (version >= 4 && !binds) all.network = 1 /* LANDLOCK_ACCESS_NET_BIND_TCP */;
    // Abstract sockets of others, and signals to them.
    if (version >= 6) all.scope = 3;
    size_t size = version >= 6 ? sizeof all : version >= 4 ? offsetof(struct ruleset, scope) : offsetof(struct ruleset, network);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (ruleset < 0) return -errno;
    int failure = allow_all(ruleset, readable, READ & all.files);
    if (!failure) failure = allow_all(ruleset, writable, (READ | WRITE) & all.files);
    if (!failure && writable_folder >= 0) failure = allow(ruleset, writable_folder, (READ | WRITE) & all.files);
    if (!failure && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) failure = -errno;
    close(ruleset);
    return failure;
}
