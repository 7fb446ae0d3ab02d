#include "CLinux.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int linux_setns(int descriptor, int kind) { return setns(descriptor, kind); }
int linux_unshare(int kinds) { return unshare(kinds); }

int linux_pidfd_open(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }
int linux_pidfd_send_signal(int pidfd, int signal) { return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0); }
int linux_pidfd_getfd(int pidfd, int descriptor) { return (int)syscall(438 /* SYS_pidfd_getfd */, pidfd, descriptor, 0); }
int linux_set_child_subreaper(int enabled) { return prctl(PR_SET_CHILD_SUBREAPER, enabled, 0, 0, 0); }
int linux_set_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
int linux_set_dumpable(int enabled) { return prctl(PR_SET_DUMPABLE, enabled, 0, 0, 0); }

int linux_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
    return mount(source, target, type, flags, data);
}
int linux_unmount_detached(const char *target) { return umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW); }

int linux_unmount_forced(const char *target) { return umount2(target, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW); }

int64_t linux_filesystem_type(const char *path) {
    struct statfs status;
    return statfs(path, &status) < 0 ? -(int64_t)errno : (int64_t)status.f_type;
}
