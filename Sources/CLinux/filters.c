#include "CLinux.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// System call filters (seccomp(2)). What is not listed fails with EPERM.

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the numbers of this machine's system calls are not known here"
#endif

// What an event loop, its threads, its memory and its open sockets want. No file is opened, no program started, no other
// process touched. Numbers that an architecture does not have are left out.
static const uint32_t relaying[] = {
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_recvfrom, SYS_sendto, SYS_recvmsg,
    SYS_sendmsg, SYS_recvmmsg, SYS_sendmmsg, SYS_splice, SYS_epoll_pwait, SYS_epoll_ctl, SYS_futex, SYS_close,
    SYS_accept, SYS_accept4, SYS_listen, SYS_connect, SYS_shutdown, SYS_getsockopt, SYS_setsockopt, SYS_getsockname,
    SYS_getpeername, SYS_socketpair, SYS_pipe2, SYS_epoll_create1, SYS_eventfd2, SYS_timerfd_create,
    SYS_timerfd_settime, SYS_timerfd_gettime, SYS_ppoll, SYS_pselect6, SYS_dup, SYS_dup3, SYS_fcntl, SYS_fstat,
    SYS_newfstatat, SYS_lseek, SYS_fsync, SYS_fdatasync, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk,
    SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getrandom,
    SYS_getrusage, SYS_times, SYS_sysinfo, SYS_uname, SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid,
    SYS_getgid, SYS_getegid, SYS_tgkill, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait,
    SYS_sigaltstack, SYS_restart_syscall, SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_membarrier,
    SYS_sched_yield, SYS_sched_getaffinity, SYS_exit, SYS_exit_group, SYS_getrlimit,
#ifdef SYS_epoll_wait
    SYS_epoll_create, SYS_epoll_wait, SYS_poll, SYS_select, SYS_dup2, SYS_time, SYS_pipe,
#endif
};
static const uint32_t reading[] = {
    SYS_openat, SYS_statx, SYS_getdents64, SYS_readlinkat, SYS_faccessat, SYS_uname, SYS_fstatfs, SYS_bind,
#ifdef SYS_open
    SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink,
#endif
};

// What a guard wants besides: to write files, and to listen.
static const uint32_t keeping[] = {
    SYS_bind, SYS_openat2, SYS_renameat, SYS_renameat2, SYS_unlinkat, SYS_mkdirat, SYS_linkat, SYS_symlinkat,
    SYS_ftruncate, SYS_fallocate, SYS_flock, SYS_fchmod, SYS_fchmodat, SYS_utimensat, SYS_fchdir, SYS_getcwd,
    SYS_statfs, SYS_umask, SYS_capget, SYS_prctl, SYS_prlimit64, SYS_ioctl, SYS_inotify_init1, SYS_inotify_add_watch,
    SYS_inotify_rm_watch, SYS_memfd_create, SYS_mmap, SYS_pwritev, SYS_preadv, SYS_sched_getparam,
    SYS_sched_getscheduler, SYS_fadvise64, SYS_sendfile, SYS_faccessat2, SYS_getresuid, SYS_getresgid, SYS_getgroups,
    SYS_getpgid, SYS_close_range,
#ifdef SYS_open
    SYS_creat, SYS_rename, SYS_unlink, SYS_mkdir, SYS_chmod, SYS_inotify_init, SYS_getdents,
#endif
};

// Namespaces and mounts. The newer numbers are the same on all machines, and not every C library's headers have them.
static const uint32_t namespaces[] = {
    SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_sethostname, SYS_setdomainname, SYS_fanotify_init, SYS_quotactl,
    428 /* open_tree */, 429 /* move_mount */, 430 /* fsopen */, 431 /* fsconfig */, 432 /* fsmount */, 433 /* fspick */,
    442 /* mount_setattr */, 443 /* quotactl_fd */, 467 /* open_tree_attr */,
};
static const uint32_t beyond_a_session[] = {
    SYS_unshare, SYS_chroot, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_init_module,
    SYS_finit_module, SYS_delete_module, SYS_bpf, SYS_seccomp, SYS_personality, SYS_add_key, SYS_request_key, SYS_keyctl,
    SYS_reboot, SYS_syslog, SYS_swapon, SYS_swapoff, SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_userfaultfd,
    SYS_kexec_load, SYS_kexec_file_load, SYS_acct, SYS_perf_event_open, 438 /* pidfd_getfd */, 440 /* process_madvise */,
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm,
#endif
};
// What a filter cannot look into: programs do without where the kernel does not know it.
static const uint32_t unseen[] = {SYS_clone3, 425 /* io_uring_setup */, 426 /* io_uring_enter */, 427 /* io_uring_register */};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define ARGUMENT(number) offsetof(struct seccomp_data, args[number])
#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (what))
#define GIVE(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSED(error) (SECCOMP_RET_ERRNO | (error))
// One more of each, for the two ways in which a call with an argument ends.
#define MOST ((COUNT(relaying) + COUNT(reading) + COUNT(keeping)) * 2 + 64)
_Static_assert((COUNT(namespaces) + COUNT(beyond_a_session) + COUNT(unseen)) * 2 + 64 < MOST, "room for every step");

struct program {
    struct sock_filter steps[MOST];
    unsigned short count;
};

static void add(struct program *program, struct sock_filter step) { program->steps[program->count++] = step; }

static void allow(struct program *program, uint32_t number) {
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    add(program, (struct sock_filter)GIVE(SECCOMP_RET_ALLOW));
}

// A call that is allowed where the lower half of an argument has all bits of `set` and none of `clear`.
static void allow_bits(struct program *program, uint32_t number, int argument, uint32_t set, uint32_t clear) {
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 5));
    add(program, (struct sock_filter)LOAD(ARGUMENT(argument)));
    add(program, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, set | clear));
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, set, 0, 1));
    add(program, (struct sock_filter)GIVE(SECCOMP_RET_ALLOW));
    add(program, (struct sock_filter)GIVE(REFUSED(EPERM)));
}

// A call that is allowed where the lower half of an argument is one of some values.
static void allow_values(struct program *program, uint32_t number, int argument, const uint32_t *values, int count) {
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, (uint8_t)(2 * count + 2)));
    add(program, (struct sock_filter)LOAD(ARGUMENT(argument)));
    for (int i = 0; i < count; i++) allow(program, values[i]);
    add(program, (struct sock_filter)GIVE(REFUSED(EPERM)));
}

#define ALLOW_ALL(program, list) \
    for (size_t i = 0; i < COUNT(list); i++) allow(program, list[i])

static void begin(struct program *program) {
    add(program, (struct sock_filter)LOAD(offsetof(struct seccomp_data, arch)));
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 1, 0));
    add(program, (struct sock_filter)GIVE(REFUSED(ENOSYS)));
    add(program, (struct sock_filter)LOAD(offsetof(struct seccomp_data, nr)));
    ALLOW_ALL(program, relaying);
    // Threads of this process, but no other process and no namespace. clone3 hides its flags behind a pointer: the C library
    // does without where the kernel does not know it.
    allow_bits(program, SYS_clone, 0, CLONE_THREAD | CLONE_VM, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET);
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1));
    add(program, (struct sock_filter)GIVE(REFUSED(ENOSYS)));
    // No memory becomes code.
    allow_bits(program, SYS_mprotect, 2, 0, PROT_EXEC);
}

// From now on, for all threads.
static int end(struct program *program) {
    add(program, (struct sock_filter)GIVE(REFUSED(EPERM)));
    struct sock_fprog filter = {.len = program->count, .filter = program->steps};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
        return errno ? -errno : -ESRCH;
    }
    return 0;
}

int linux_allow_relaying_only(int reads_files) {
    struct program program = {.count = 0};
    begin(&program);
    if (reads_files) ALLOW_ALL(&program, reading);
    allow_bits(&program, SYS_mmap, 2, 0, PROT_EXEC);
    const uint32_t families[] = {AF_INET, AF_INET6, AF_UNIX};
    allow_values(&program, SYS_socket, 0, families, COUNT(families));
    const uint32_t names[] = {PR_SET_NAME, PR_GET_NAME};
    allow_values(&program, SYS_prctl, 0, names, COUNT(names));
    // Limits are read, for the own process.
    const uint32_t self[] = {0};
    allow_values(&program, SYS_prlimit64, 0, self, 1);
    // FIONREAD and its like; never what types into a terminal.
    const uint32_t questions[] = {0x541b /* FIONREAD */, 0x5421 /* FIONBIO */};
    allow_values(&program, SYS_ioctl, 1, questions, COUNT(questions));
    return end(&program);
}

int linux_allow_guarding_only(void) {
    struct program program = {.count = 0};
    begin(&program);
    ALLOW_ALL(&program, reading);
    ALLOW_ALL(&program, keeping);
    const uint32_t families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
    allow_values(&program, SYS_socket, 0, families, COUNT(families));
    // Into the networks of sandboxes, and into nothing else of theirs.
    const uint32_t networks[] = {CLONE_NEWNET};
    allow_values(&program, SYS_setns, 1, networks, 1);
    return end(&program);
}

// Some container engines answer a call that is newer than they with EPERM, which C libraries do not take for "try the older one".
int linux_refuse_clone3(void) {
    struct sock_filter steps[] = {
        LOAD(offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 0, 3),
        LOAD(offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        GIVE(REFUSED(ENOSYS)),
        GIVE(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = COUNT(steps), .filter = steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0 ? 0 : -errno;
}

static void refuse(struct program *program, uint32_t number, uint32_t error) {
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    add(program, (struct sock_filter)GIVE(REFUSED(error)));
}

int linux_refuse_calls(int which) {
    // Not CLONE_NEWTIME, whose bit is part of clone's signal: only unshare and clone3 can ask for it.
    const uint32_t kinds = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID
        | CLONE_NEWNET;
    struct program program = {.count = 0};
    add(&program, (struct sock_filter)LOAD(offsetof(struct seccomp_data, arch)));
    add(&program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 1, 0));
    add(&program, (struct sock_filter)GIVE(REFUSED(ENOSYS)));
    add(&program, (struct sock_filter)LOAD(offsetof(struct seccomp_data, nr)));
#ifdef __x86_64__
    // x32: the same calls under other numbers.
    add(&program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
    add(&program, (struct sock_filter)GIVE(REFUSED(ENOSYS)));
#endif
    for (size_t i = 0; i < COUNT(namespaces); i++) refuse(&program, namespaces[i], EPERM);
    for (size_t i = 0; i < COUNT(unseen); i++) refuse(&program, unseen[i], ENOSYS);
    if (which == LINUX_REFUSE_FOR_SESSION)
        for (size_t i = 0; i < COUNT(beyond_a_session); i++) refuse(&program, beyond_a_session[i], EPERM);
    // Processes and threads, but no namespaces. A thread may have a root and a current folder of its own, which is no right
    // over anything.
    allow_bits(&program, SYS_clone, 0, 0, kinds);
    const uint32_t harmless[] = {CLONE_FS};
    allow_values(&program, SYS_unshare, 0, harmless, COUNT(harmless));
    add(&program, (struct sock_filter)GIVE(SECCOMP_RET_ALLOW));
    struct sock_fprog filter = {.len = program.count, .filter = program.steps};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0 ? -errno : 0;
}
