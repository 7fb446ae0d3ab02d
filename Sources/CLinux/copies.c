#include "CLinux.h"
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

ssize_t linux_list_attributes_of(int file, char *names, size_t size) {
    ssize_t length = flistxattr(file, names, size);
    return length < 0 ? -errno : length;
}

ssize_t linux_attribute(int file, const char *name, void *value, size_t size) {
    ssize_t length = fgetxattr(file, name, value, size);
    return length < 0 ? -errno : length;
}

int linux_set_attribute(int file, const char *name, const void *value, size_t size) {
    return fsetxattr(file, name, value, size, 0) < 0 ? -errno : 0;
}

int linux_drop_attribute(int file, const char *name) { return fremovexattr(file, name) < 0 ? -errno : 0; }

int linux_share_content(int from, int to) { return ioctl(to, FICLONE, from) < 0 ? -errno : 0; }

ssize_t linux_copy_range(int from, int to, int64_t offset, size_t count) {
    off64_t in = offset, out = offset;
    ssize_t copied = copy_file_range(from, &in, to, &out, count, 0);
    return copied < 0 ? -errno : copied;
}

int linux_synchronize_file_system(int file) { return syncfs(file) < 0 ? -errno : 0; }
