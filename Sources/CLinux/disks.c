#include "CLinux.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/quota.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// Of linux/ext4.h and others, where it has no number of its own in older headers.
#define SHUTDOWN _IOR('X', 125, uint32_t)
#define SHUTDOWN_WITHOUT_WRITING 2
#define LOOP_MAJOR 7
#define PROJECT_QUOTA 2

/// A loop device that shows `image`, which the kernel frees with the device's last user; its descriptor or -errno.
static int loop_device(int image, int read_only, char *name, size_t size) {
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) return -errno;
    struct loop_config config;
    memset(&config, 0, sizeof config);
    config.fd = (uint32_t)image;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0);
    int result = -EBUSY;
    // Others may take the free one first.
    for (int attempt = 0; attempt < 64 && result == -EBUSY; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) {
            result = -errno;
            break;
        }
        snprintf(name, size, "/dev/loop%d", number);
        int device = open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
        // A /dev that the kernel does not fill.
        if (device < 0 && errno == ENOENT && mknod(name, S_IFBLK | 0600, makedev(LOOP_MAJOR, number)) == 0)
            device = open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
        if (device < 0) {
            result = -errno;
            break;
        }
        if (ioctl(device, LOOP_CONFIGURE, &config) == 0) {
            result = device;
            break;
        }
        result = -errno;
        close(device);
    }
    close(control);
    return result;
}

int linux_mount_image(const char *image, const char *target, int read_only, const char *options) {
    int file = open(image, (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0) return -errno;
    char name[32];
    int device = loop_device(file, read_only, name, sizeof name);
    close(file);
    if (device < 0) return device;
    unsigned long flags = MS_NOSUID | MS_NODEV | (read_only ? MS_RDONLY : 0);
    int result = mount(name, target, "ext4", flags, options) < 0 ? -errno : 0;
    close(device);
    return result;
}

/// The loop device that shows `image` already, open so that it stays; -ENOENT where there is none. Its name is left in `name`.
static int shared_device(int image, char *name, size_t size) {
    struct stat file;
    if (fstat(image, &file) < 0) return -errno;
    DIR *devices = opendir("/sys/block");
    if (!devices) return -errno;
    int found = -ENOENT;
    for (struct dirent *entry; found < 0 && (entry = readdir(devices));) {
        unsigned number;
        if (sscanf(entry->d_name, "loop%u", &number) != 1) continue;
        snprintf(name, size, "/dev/loop%u", number);
        int device = open(name, O_RDWR | O_CLOEXEC);
        if (device < 0) continue;
        struct loop_info64 shown;
        if (ioctl(device, LOOP_GET_STATUS64, &shown) == 0 && shown.lo_inode == file.st_ino && shown.lo_device == file.st_dev)
            found = device;
        else
            close(device);
    }
    closedir(devices);
    return found;
}

int linux_mount_shared_image(const char *image, const char *target, const char *options) {
    int file = open(image, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0) return -errno;
    char name[32];
    int device = shared_device(file, name, sizeof name);
    if (device == -ENOENT) device = loop_device(file, 0, name, sizeof name);
    close(file);
    if (device < 0) return device;
    int result = mount(name, target, "ext4", MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
    close(device);
    return result;
}

int linux_shut_down_filesystem(const char *target) {
    int folder = open(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) return -errno;
    uint32_t how = SHUTDOWN_WITHOUT_WRITING;
    int result = ioctl(folder, SHUTDOWN, &how) < 0 ? -errno : 0;
    close(folder);
    return result;
}

int linux_is_mount_point(const char *path) {
    struct statx here;
    // What the kernel knows already: storage that does not answer is not asked.
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (syscall(SYS_statx, AT_FDCWD, path, flags, STATX_TYPE, &here) < 0) return -errno;
    return (here.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int linux_space(const char *path, struct linux_space *space) {
    struct statvfs status;
    if (statvfs(path, &status) < 0) return -errno;
    space->total = (uint64_t)status.f_blocks * status.f_frsize;
    space->available = (uint64_t)status.f_bavail * status.f_frsize;
    space->inodes = status.f_files;
    space->available_inodes = status.f_favail;
    return 0;
}

int linux_set_project(const char *folder, uint32_t project) {
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    struct fsxattr attributes;
    int result = ioctl(descriptor, FS_IOC_FSGETXATTR, &attributes);
    if (result == 0) {
        attributes.fsx_projid = project;
        attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
        result = ioctl(descriptor, FS_IOC_FSSETXATTR, &attributes);
    }
    if (result < 0) result = -errno;
    close(descriptor);
    return result;
}

int64_t linux_project(const char *folder) {
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    struct fsxattr attributes;
    int64_t result = ioctl(descriptor, FS_IOC_FSGETXATTR, &attributes) < 0 ? -errno : attributes.fsx_projid;
    close(descriptor);
    return result;
}

static int project_quota(const char *folder, int command, uint32_t project, struct if_dqblk *block) {
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    int result = syscall(SYS_quotactl_fd, descriptor, QCMD(command, PROJECT_QUOTA), project, block) < 0 ? -errno : 0;
    close(descriptor);
    return result;
}

int linux_limit_project(const char *folder, uint32_t project, uint64_t bytes, uint64_t inodes) {
    struct if_dqblk block;
    memset(&block, 0, sizeof block);
    block.dqb_bhardlimit = block.dqb_bsoftlimit = (bytes + QIF_DQBLKSIZE - 1) / QIF_DQBLKSIZE;
    block.dqb_ihardlimit = block.dqb_isoftlimit = inodes;
    block.dqb_valid = QIF_LIMITS;
    return project_quota(folder, Q_SETQUOTA, project, &block);
}

int linux_project_is_used(const char *folder, uint32_t project) {
    struct if_dqblk block;
    memset(&block, 0, sizeof block);
    int result = project_quota(folder, Q_GETQUOTA, project, &block);
    if (result == -ENOENT) return 0;
    return result < 0 ? result : block.dqb_curspace > 0 || block.dqb_curinodes > 0 || block.dqb_bhardlimit > 0;
}
