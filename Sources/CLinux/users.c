#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// A user namespace cannot be made by a program of several threads: a process that shares its memory makes it and waits,
// until this one, which has the right to, has written which ids there are in it.

typedef struct maker {
    uint32_t first;
    /// Pipes: by the first it says that it is done, by the second that it may end.
    int done[2], leave[2];
    /// Whoever waits for it.
    pid_t parent;
    volatile int failure;
} maker;

// Only raw calls: the memory, errno included, is that of the thread that waits, and so are the descriptors.
static int make_namespace(void *argument) {
    maker *maker = argument;
    char byte = 0;
    // Whoever makes the namespace is whom the kernel counts for what is in it (inotify instances, for one): were it root,
    // one sandbox could use up what all have.
    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, maker->first, maker->first, maker->first) < 0
        || syscall(SYS_setresuid, maker->first, maker->first, maker->first) < 0
        || syscall(SYS_unshare, CLONE_NEWUSER) < 0 || syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        maker->failure = errno;
    // A parent that was killed before it was to take this one along never does: it would wait for ever, with all of the parent's
    // descriptors and the locks that they hold.
    if (syscall(SYS_getppid) != maker->parent) syscall(SYS_exit_group, 0);
    if (syscall(SYS_write, maker->done[1], &byte, 1) == 1)
        while (syscall(SYS_read, maker->leave[0], &byte, 1) < 0 && errno == EINTR) {}
    syscall(SYS_exit_group, 0);
    return 0;
}

static int write_map(pid_t process, const char *file, uint32_t first, uint32_t count) {
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/%s", process, file);
    int length = snprintf(text, sizeof text, "0 %u %u", first, count);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    int result = write(descriptor, text, (size_t)length) == length ? 0 : -errno;
    close(descriptor);
    return result;
}

static int open_namespace(pid_t process) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", process);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

static int run_maker(maker *maker, uint32_t count, char *stack_top) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t process = clone(make_namespace, stack_top, CLONE_VM | CLONE_FILES | SIGCHLD, maker);
    int result = process < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (process < 0) return result;
    char byte = 0;
    while (read(maker->done[0], &byte, 1) < 0 && errno == EINTR) {}
    if (maker->failure) result = -maker->failure;
    if (result == 0) result = write_map(process, "uid_map", maker->first, count);
    if (result == 0) result = write_map(process, "gid_map", maker->first, count);
    if (result == 0) result = open_namespace(process);
    while (write(maker->leave[1], &byte, 1) < 0 && errno == EINTR) {}
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR) {}
    return result;
}

static void close_both(const int ends[2]) {
    close(ends[0]);
    close(ends[1]);
}

int linux_user_namespace(uint32_t first, uint32_t count) {
    enum { stack_bytes = 64 << 10 };
    maker maker = {.first = first, .parent = getpid()};
    if (pipe2(maker.done, O_CLOEXEC) < 0) return -errno;
    if (pipe2(maker.leave, O_CLOEXEC) < 0) {
        int failure = errno;
        close_both(maker.done);
        return -failure;
    }
    char *stack = malloc(stack_bytes);
    int result = stack ? run_maker(&maker, count, stack + stack_bytes) : -ENOMEM;
    close_both(maker.done);
    close_both(maker.leave);
    free(stack);
    return result;
}

// The kernel's own numbers: the C library's headers of these calls and the kernel's cannot always be read together.
enum { tree_clone = 1, empty_source = 4, read_only = 1, no_set_id = 2, no_devices = 4, with_idmap = 0x00100000 };
struct attributes {
    uint64_t set, clear, propagation, namespace;
};

int linux_mount_idmapped(const char *from, const char *to, int user_namespace) {
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, from, tree_clone | O_CLOEXEC);
    if (tree < 0) return -errno;
    struct attributes change = {
        .set = with_idmap | read_only | no_set_id | no_devices, .namespace = (uint64_t)user_namespace,
    };
    int result = 0;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &change, sizeof change) < 0
        || syscall(SYS_move_mount, tree, "", AT_FDCWD, to, empty_source) < 0)
        result = -errno;
    close(tree);
    return result;
}
