/* Preloaded into a guard. In the folder FAULTS names, a file `fsync` or `rename` lets that call fail with EIO while it is
   there, and `clock` holds the seconds by which the wall clock is wrong. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int wanted(const char *name) {
    const char *folder = getenv("FAULTS");
    char path[4096];
    return folder && snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path && access(path, F_OK) == 0;
}

static int fails(const char *name) {
    int saved = errno;
    if (wanted(name)) {
        errno = EIO;
        return 1;
    }
    errno = saved;
    return 0;
}

int fsync(int descriptor) {
    static int (*next)(int);
    if (!next) next = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails("fsync") ? -1 : next(descriptor);
}

int rename(const char *from, const char *to) {
    static int (*next)(const char *, const char *);
    if (!next) next = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    return fails("rename") ? -1 : next(from, to);
}

static long offset(void) {
    const char *folder = getenv("FAULTS");
    char path[4096], text[32] = "";
    int saved = errno;
    long seconds = 0;
    if (folder && snprintf(path, sizeof path, "%s/clock", folder) < (int)sizeof path) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) seconds = atol(text);
            close(file);
        }
    }
    errno = saved;
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *result) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int status = next(clock, result);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) result->tv_sec += offset();
    return status;
}

int gettimeofday(struct timeval *restrict result, void *restrict zone) {
    static int (*next)(struct timeval *, void *);
    if (!next) next = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int status = next(result, zone);
    if (status == 0) result->tv_sec += offset();
    return status;
}

time_t time(time_t *result) {
    struct timespec present;
    clock_gettime(CLOCK_REALTIME, &present);
    if (result) *result = present.tv_sec;
    return present.tv_sec;
}
