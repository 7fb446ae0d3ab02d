#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// setfsuid and setfsgid tell no error: a second call with an impossible id says what holds now.

int linux_thread_set_fsuid(uint32_t user) {
    syscall(SYS_setfsuid, user);
    return (uint32_t)syscall(SYS_setfsuid, (uint32_t)-1) == user ? 0 : -EPERM;
}

int linux_thread_set_fsgid(uint32_t group) {
    syscall(SYS_setfsgid, group);
    return (uint32_t)syscall(SYS_setfsgid, (uint32_t)-1) == group ? 0 : -EPERM;
}

int linux_thread_set_groups(size_t count, const uint32_t *groups) {
    return syscall(SYS_setgroups, count, groups) < 0 ? -errno : 0;
}

int linux_birth_time(const char *path, int64_t *seconds, uint32_t *nanoseconds) {
    struct statx status;
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &status) < 0) return -errno;
    if (!(status.stx_mask & STATX_BTIME)) return -ENODATA;
    *seconds = status.stx_btime.tv_sec;
    *nanoseconds = status.stx_btime.tv_nsec;
    return 0;
}

int linux_rename_new(const char *from, const char *to) {
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -errno;
    // A file system without the flag: the look before the rename leaves a gap, but nothing better is to be had.
    struct stat status;
    if (lstat(to, &status) == 0) return -EEXIST;
    return rename(from, to) < 0 ? -errno : 0;
}
