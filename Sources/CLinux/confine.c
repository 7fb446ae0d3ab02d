#include "CLinux.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    sets[0].effective = sets[0].permitted = (uint32_t)kept;
    sets[1].effective = sets[1].permitted = (uint32_t)(kept >> 32);
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int linux_set_parent_death_signal(int signal) { return prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0); }

int64_t linux_peer_uid(int socket) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ? -(int64_t)errno : (int64_t)peer.uid;
}

int64_t linux_permitted_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    if (syscall(SYS_capget, &header, sets) < 0) return -errno;
    return (int64_t)((uint64_t)sets[1].permitted << 32 | sets[0].permitted);
}

int linux_confine(int64_t user, int64_t group, uint64_t capabilities) {
    int64_t permitted = linux_permitted_capabilities();
    if (permitted < 0) return (int)permitted;
    // What this process has not been given, it cannot keep.
    uint64_t kept = capabilities & (uint64_t)permitted;
    for (int capability = 0; capability < 64; capability++) {
        if (kept >> capability & 1 || prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
        // Without CAP_SETPCAP the bounding set stays; no_new_privs makes it mean nothing.
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EPERM) return -errno;
    }
    if (kept && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return -errno;
    if ((user >= 0 || group >= 0) && syscall(SYS_setgroups, 0, NULL) < 0) return -errno;
    if (group >= 0 && syscall(SYS_setresgid, group, group, group) < 0) return -errno;
    if (user >= 0 && syscall(SYS_setresuid, user, user, user) < 0) return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return -errno;
    int failure = set_capabilities(kept);
    if (failure) return failure;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

// --- the system calls of a process that only relays -----------------------------------------------

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the numbers of this machine's system calls are not known here"
#endif

// What an event loop, its threads, its memory and its open sockets want. No file is opened, no program started, no other
// process touched. Numbers that an architecture does not have are left out.
static const int relaying[] = {
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
    SYS_epoll_wait, SYS_poll, SYS_select, SYS_dup2, SYS_time, SYS_pipe,
#endif
};
static const int reading[] = {
    SYS_openat, SYS_statx, SYS_getdents64, SYS_readlinkat, SYS_faccessat, SYS_uname, SYS_fstatfs, SYS_bind,
#ifdef SYS_open
    SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink,
#endif
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define ARGUMENT(number) offsetof(struct seccomp_data, args[number])
#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (what))
#define GIVE(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSED(error) (SECCOMP_RET_ERRNO | (error))
// One more of each, for the two ways in which a call with an argument ends.
#define MOST (COUNT(relaying) * 2 + COUNT(reading) * 2 + 64)

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

int linux_allow_relaying_only(int reads_files) {
    struct program program = {.count = 0};
    add(&program, (struct sock_filter)LOAD(offsetof(struct seccomp_data, arch)));
    add(&program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 1, 0));
    add(&program, (struct sock_filter)GIVE(REFUSED(ENOSYS)));
    add(&program, (struct sock_filter)LOAD(offsetof(struct seccomp_data, nr)));
    for (size_t i = 0; i < COUNT(relaying); i++) allow(&program, (uint32_t)relaying[i]);
    if (reads_files)
        for (size_t i = 0; i < COUNT(reading); i++) allow(&program, (uint32_t)reading[i]);
    // Threads of this process, but no other process and no namespace. clone3 hides its flags behind a pointer: the C library
    // does without where the kernel does not know it.
    allow_bits(&program, SYS_clone, 0, CLONE_THREAD | CLONE_VM, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET);
    // No memory becomes code.
    allow_bits(&program, SYS_mmap, 2, 0, PROT_EXEC);
    allow_bits(&program, SYS_mprotect, 2, 0, PROT_EXEC);
    const uint32_t families[] = {AF_INET, AF_INET6, AF_UNIX};
    allow_values(&program, SYS_socket, 0, families, COUNT(families));
    const uint32_t names[] = {PR_SET_NAME, PR_GET_NAME};
    allow_values(&program, SYS_prctl, 0, names, COUNT(names));
    // Limits are read, for the own process.
    const uint32_t self[] = {0};
    allow_values(&program, SYS_prlimit64, 0, self, 1);
    add(&program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1));
    add(&program, (struct sock_filter)GIVE(REFUSED(ENOSYS)));
    // FIONREAD and its like; never what types into a terminal.
    const uint32_t questions[] = {0x541b /* FIONREAD */, 0x5421 /* FIONBIO */};
    allow_values(&program, SYS_ioctl, 1, questions, COUNT(questions));
    add(&program, (struct sock_filter)GIVE(REFUSED(EPERM)));
    struct sock_fprog filter = {.len = program.count, .filter = program.steps};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
        return errno ? -errno : -ESRCH;
    }
    return 0;
}
