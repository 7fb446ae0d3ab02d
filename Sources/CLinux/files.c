#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

int linux_open_beneath(int directory, const char *path, int flags, unsigned int mode) {
    struct open_how how = {
        .flags = (unsigned int)flags | O_CLOEXEC,
        .mode = (flags & O_CREAT) ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long descriptor = syscall(SYS_openat2, directory, path, &how, sizeof how);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int linux_open_inside(int directory, const char *path, int flags) {
    struct open_how how = {
        .flags = (unsigned int)flags | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long descriptor = syscall(SYS_openat2, directory, path, &how, sizeof how);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int linux_open_without_links(const char *path, int flags) {
    struct open_how how = {.flags = (unsigned int)flags | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
    long descriptor = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int linux_unnamed_file(const char *folder) {
    int descriptor = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return descriptor < 0 ? -errno : descriptor;
}

int linux_accept_nonblocking(int listener) { return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }
int linux_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }
int linux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0; }

// For kernels without openat2 (gVisor's): a single name that is no link, on the folder's own device.
static int open_name(int directory, const char *name, int flags) {
    if (strchr(name, '/') || strcmp(name, "..") == 0) return -EXDEV;
    struct stat folder, found;
    int descriptor = openat(directory, name, flags | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    if (fstat(directory, &folder) == 0 && fstat(descriptor, &found) == 0 && folder.st_dev == found.st_dev) return descriptor;
    close(descriptor);
    return -EXDEV;
}

int64_t linux_birth(int descriptor) {
    struct statx status;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_BTIME, &status) < 0 || !(status.stx_mask & STATX_BTIME)) return -1;
    return status.stx_btime.tv_sec;
}

int linux_open_within(int directory, const char *name, int flags) {
    struct open_how how = {
        .flags = (unsigned int)flags | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    };
    long descriptor = syscall(SYS_openat2, directory, name, &how, sizeof how);
    if (descriptor < 0 && errno == ENOSYS) return open_name(directory, name, flags);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int linux_lift_protection(int descriptor) {
    // int in the kernel, long in the number of the request.
    int flags = 0;
    if (ioctl(descriptor, FS_IOC_GETFLAGS, &flags) < 0) return -errno;
    if (!(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL))) return -ENODATA;
    flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
    return ioctl(descriptor, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

int linux_unmount_at(int directory, const char *name) {
    char path[64 + NAME_MAX + 1];
    if (snprintf(path, sizeof path, "/proc/self/fd/%d/%s", directory, name) >= (int)sizeof path) return -ENAMETOOLONG;
    int count = 0;
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) count++;
    return count > 0 ? count : -errno;
}

int linux_rename_at_new(int from_directory, const char *from, int to_directory, const char *to) {
    return renameat2(from_directory, from, to_directory, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int linux_check_replaceable(int folder, const char *name) {
    struct statx entry;
    if (statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_UID, &entry) < 0) return -errno;
    // 0x2000: STATX_ATTR_MOUNT_ROOT (Linux 5.8), which older headers lack.
    if (entry.stx_attributes & 0x2000) return -EBUSY;
    if (entry.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) return -EPERM;
    struct statx above;
    if (statx(folder, "", AT_EMPTY_PATH, STATX_MODE | STATX_UID, &above) < 0) return -errno;
    if (above.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) return -EPERM;
    uint32_t own = (uint32_t)syscall(SYS_setfsuid, -1);
    return (above.stx_mode & S_ISVTX) && own != 0 && own != entry.stx_uid && own != above.stx_uid ? -EPERM : 0;
}

ssize_t linux_list_attributes(const char *path, char *names, size_t size) {
    ssize_t length = llistxattr(path, names, size);
    return length < 0 ? -errno : length;
}

int linux_remove_attribute(const char *path, const char *name) {
    return lremovexattr(path, name) < 0 ? -errno : 0;
}

int linux_inotify_create(void) {
    int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

int linux_inotify_watch(int inotify, int folder) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", folder);
    int watch = inotify_add_watch(inotify, path,
        IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF
            | IN_ONLYDIR | IN_EXCL_UNLINK);
    return watch < 0 ? -errno : watch;
}

void linux_inotify_forget(int inotify, int watch) { inotify_rm_watch(inotify, watch); }
