#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Only async-signal-safe calls from here to execve: the child of a threaded program may do no more.

static int place(int descriptor, int number, int open_flags) {
    if (descriptor < 0) {
        int null = open("/dev/null", open_flags);
        if (null < 0) return -1;
        if (null == number) return 0;
        int result = dup2(null, number);
        close(null);
        return result < 0 ? -1 : 0;
    }
    if (descriptor == number) return fcntl(number, F_SETFD, 0);
    return dup2(descriptor, number) < 0 ? -1 : 0;
}

static void search_and_execute(const linux_spawn_options *options) {
    if (strchr(options->executable, '/') || !options->search_path) {
        execve(options->executable, options->arguments, options->environment);
        return;
    }
    int remembered = ENOENT;
    const char *start = options->search_path;
    char candidate[PATH_MAX];
    size_t name = strlen(options->executable);
    for (;;) {
        const char *end = strchrnul(start, ':');
        size_t length = (size_t)(end - start);
        if (length && length + name + 2 < sizeof candidate) {
            memcpy(candidate, start, length);
            candidate[length] = '/';
            memcpy(candidate + length + 1, options->executable, name + 1);
            execve(candidate, options->arguments, options->environment);
            if (errno == EACCES) remembered = EACCES;
            else if (errno != ENOENT && errno != ENOTDIR) return;
        }
        if (!*end) break;
        start = end + 1;
    }
    errno = remembered;
}

// Of linux/mount.h, which older headers of the C library do not let in beside sys/mount.h.
struct mount_attributes {
    uint64_t set, clear, propagation, user_namespace;
};

static int confine(const char *folder) {
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, folder, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
    if (tree < 0) return -1;
    struct mount_attributes harmless = {.set = 2 | 4 /* NOSUID, NODEV */}, closed = {.set = 1 /* RDONLY */};
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &harmless, sizeof harmless) < 0) return -1;
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0x8000 /* AT_RECURSIVE */, &closed, sizeof closed) < 0) return -1;
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, folder, 4 /* F_EMPTY_PATH */);
}

static int attach(const struct linux_attachment *attachment) {
    int place = open(attachment->target, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0) return -1;
    int result = linux_mount_attach_on(attachment->tree, place);
    close(place);
    if (result < 0) errno = -result;
    return result < 0 ? -1 : 0;
}

// Before the identity changes: then /proc/self may be root's.
static void raise_out_of_memory_score(int score) {
    char text[12];
    int length = 0;
    for (int rest = score; rest > 0; rest /= 10) length++;
    for (int rest = score, i = length; rest > 0; rest /= 10) text[--i] = (char)('0' + rest % 10);
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    // Where it is refused, only the order in which processes end is another.
    (void)!write(file, text, (size_t)length);
    close(file);
}

// Out of the way of the numbers that they are to have first; everything else goes with the exec.
static int pass(const linux_spawn_options *options) {
    int count = options->passed_count, moved[32];
    if (count < 0 || count > (int)(sizeof moved / sizeof *moved)) {
        errno = EINVAL;
        return -1;
    }
    for (int i = 0; i < count; i++)
        if ((moved[i] = fcntl(options->passed[i], F_DUPFD_CLOEXEC, 3 + count)) < 0) return -1;
    syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
    for (int i = 0; i < count; i++)
        if (dup2(moved[i], 3 + i) < 0) return -1;
    return 0;
}

// Not the parent's, though it shares its memory: limits belong to a process.
static void limit_open_files(uint64_t most) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// A user namespace in which this process alone has a name: one line may be written without rights over the ids outside.
static int enter_own_users(uint32_t user, uint32_t group) {
    uint32_t outside_user = (uint32_t)syscall(SYS_geteuid), outside_group = (uint32_t)syscall(SYS_getegid);
    if (syscall(SYS_unshare, CLONE_NEWUSER) < 0) return -1;
    char users[48], groups[48];
    int user_length = snprintf(users, sizeof users, "%u %u 1", user, outside_user);
    int group_length = snprintf(groups, sizeof groups, "%u %u 1", group, outside_group);
    const struct {
        const char *path, *text;
        int length;
    } files[] = {{"/proc/self/setgroups", "deny", 4}, {"/proc/self/uid_map", users, user_length},
                 {"/proc/self/gid_map", groups, group_length}};
    for (int i = 0; i < 3; i++) {
        int file = open(files[i].path, O_WRONLY | O_CLOEXEC);
        if (file < 0) return -1;
        ssize_t written = write(file, files[i].text, (size_t)files[i].length);
        close(file);
        if (written != files[i].length) return -1;
    }
    return 0;
}

// Raw calls: glibc's wrappers would carry the change to every thread of the parent, whose memory this child shares.
static int take_identity(const linux_spawn_options *options) {
    if (options->own_users && enter_own_users(options->inside_user, options->inside_group) < 0) return -1;
    if (options->confined) {
        int failure = linux_confine(options->user, options->group, options->kept_capabilities);
        if (failure == 0 && options->refused_calls) failure = linux_refuse_calls(options->refused_calls);
        if (failure) errno = -failure;
        return failure ? -1 : 0;
    }
    if ((options->group >= 0 || options->user >= 0) && geteuid() == 0 && syscall(SYS_setgroups, 0, NULL) < 0) return -1;
    if (options->group >= 0 && syscall(SYS_setresgid, options->group, options->group, options->group) < 0) return -1;
    if (options->user >= 0 && syscall(SYS_setresuid, options->user, options->user, options->user) < 0) return -1;
    return 0;
}

static void become(const linux_spawn_options *options, pid_t parent) {
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    if (options->grouping == 1 && setsid() < 0) return;
    if (options->grouping == 2 && setpgid(0, 0) < 0) return;
    // 0 is whoever writes. Not in the group that it is meant for, a process would run without its limits.
    for (int i = 0; i < options->joined_count; i++)
        if (write(options->joined[i], "0", 1) != 1) return;
    // Before /proc may be closed to writing.
    if (options->out_of_memory_score > 0) raise_out_of_memory_score(options->out_of_memory_score);
    if (options->network_namespace) {
        int namespace = open(options->network_namespace, O_RDONLY | O_CLOEXEC);
        if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0) return;
        close(namespace);
    }
    if (options->private_mounts) {
        if (unshare(CLONE_NEWNS) < 0) return;
        if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) return;
        const unsigned long inert = MS_NOSUID | MS_NODEV | MS_NOEXEC;
        if (options->hidden_folder && mount("none", options->hidden_folder, "tmpfs", inert, "size=1m") < 0) return;
        for (int i = 0; i < options->binding_count; i++)
            if (mount(options->bindings[i].source, options->bindings[i].target, NULL, MS_BIND | MS_REC, NULL) < 0) return;
        for (int i = 0; i < options->attachment_count; i++)
            if (attach(&options->attachments[i]) < 0) return;
        if (options->writable_folder && confine(options->writable_folder) < 0) return;
    }
    // Sources below 3 would be overwritten by an earlier placement: move them out of the way first.
    int source[3] = {options->input, options->output, options->error};
    for (int i = 0; i < 3; i++)
        if (source[i] >= 0 && source[i] < 3 && source[i] != i) {
            source[i] = fcntl(source[i], F_DUPFD_CLOEXEC, 3);
            if (source[i] < 0) return;
        }
    for (int i = 0; i < 3; i++)
        if (place(source[i], i, i == 0 ? O_RDONLY : O_WRONLY) < 0) return;
    if (options->controlling_terminal && ioctl(0, TIOCSCTTY, 0) < 0) return;
    if (pass(options) < 0) return;
    if (options->open_files) limit_open_files(options->open_files);

    if (take_identity(options) < 0) return;
    if (options->parent_death_signal) {
        if (prctl(PR_SET_PDEATHSIG, options->parent_death_signal, 0, 0, 0) < 0) return;
        // One that was killed before sends no signal any more.
        if (getppid() != parent) {
            errno = ESRCH;
            return;
        }
    }
    if (options->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return;
    if (options->directory && chdir(options->directory) < 0) return;
    search_and_execute(options);
}

pid_t linux_spawn(const linux_spawn_options *options) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    // vfork shares memory until exec: a failed step leaves its errno here, with no pipe to read.
    volatile int failure = 0;
    pid_t parent = getpid(), child = vfork();
    if (child == 0) {
        become(options, parent);
        failure = errno;
        _exit(127);
    }
    int fork_failure = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child < 0) return -fork_failure;
    if (failure) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
        return -failure;
    }
    return child;
}
