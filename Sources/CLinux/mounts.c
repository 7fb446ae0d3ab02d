#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

// The kernel's own numbers: the C library's headers of these calls and the kernel's cannot always be read together.
enum {
    tree_clone = 1, recursive = 0x8000, empty_source = 4, empty_target = 0x40, with_idmap = 0x00100000,
    private_mount = 1 << 18,
};
struct attributes {
    uint64_t set, clear, propagation, namespace;
};

int linux_mount_copy(int directory, const char *path) {
    unsigned int flags = tree_clone | O_CLOEXEC | recursive | AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    long tree = syscall(SYS_open_tree, directory, path, flags);
    return tree < 0 ? -errno : (int)tree;
}

int linux_mount_restrict(int directory, const char *path, uint64_t attributes) {
    struct attributes change = {.set = attributes};
    unsigned int flags = recursive | AT_EMPTY_PATH;
    return syscall(SYS_mount_setattr, directory, path, flags, &change, sizeof change) < 0 ? -errno : 0;
}

int linux_mount_view(int place, uint64_t attributes, int user_namespace) {
    int tree = (int)syscall(SYS_open_tree, place, "", tree_clone | O_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0) return -errno;
    struct attributes change = {.set = attributes, .propagation = private_mount};
    if (user_namespace >= 0) {
        change.set |= with_idmap;
        change.namespace = (uint64_t)user_namespace;
    }
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &change, sizeof change) == 0) return tree;
    int failure = errno;
    close(tree);
    return -failure;
}

int linux_mount_attach(int copy, const char *path) {
    return syscall(SYS_move_mount, copy, "", AT_FDCWD, path, empty_source) < 0 ? -errno : 0;
}

int linux_mount_attach_on(int copy, int place) {
    return syscall(SYS_move_mount, copy, "", place, "", empty_source | empty_target) < 0 ? -errno : 0;
}

int linux_own_folders(void) { return unshare(CLONE_FS) < 0 ? -errno : 0; }

int linux_change_root(int folder) {
    return fchdir(folder) < 0 || chroot(".") < 0 || chdir("/") < 0 ? -errno : 0;
}

int linux_set_host_name(const char *name) { return sethostname(name, strlen(name)) < 0 ? -errno : 0; }

int linux_raise_loopback(void) {
    int socket_of_kernel = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_of_kernel < 0) return -errno;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int result = ioctl(socket_of_kernel, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
    close(socket_of_kernel);
    return result;
}

int linux_is_opaque(int folder) {
    char value;
    return fgetxattr(folder, "user.overlay.opaque", &value, 1) == 1 && value == 'y';
}
