#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

int linux_open_terminal(int *terminal) {
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0) return -errno;
    int unlocked = 0, number = 0;
    char path[32];
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0) goto failed;
    // Linux 4.13; by name elsewhere, where another devpts may be mounted on /dev/pts.
    *terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*terminal >= 0) return master;
    if (ioctl(master, TIOCGPTN, &number) < 0) goto failed;
    snprintf(path, sizeof path, "/dev/pts/%d", number);
    *terminal = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*terminal >= 0) return master;
failed:
    number = errno;
    close(master);
    return -number;
}

int linux_set_terminal_size(int descriptor, uint16_t columns, uint16_t rows) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(descriptor, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

pid_t linux_foreground_group(int master) {
    pid_t group = 0;
    return ioctl(master, TIOCGPGRP, &group) < 0 ? -errno : group;
}
