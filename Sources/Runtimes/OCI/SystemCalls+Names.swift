extension SystemCalls {
    /// Allowed on every architecture. Calls that name an object of the kernel check its rights themselves.
    static let everywhere =
        memory + files + processes + waiting + time + messages + [
            // Sockets; `socket` and `socketpair` are allowed by family.
            "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
            "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
            // What a process may take from itself.
            "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
            // The machine.
            "getcpu", "getrandom", "sysinfo", "uname",
        ]

    private static let memory = [
        "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore", "mlock",
        "mlock2", "mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap",
        "pkey_alloc", "pkey_free", "pkey_mprotect", "process_mrelease", "remap_file_pages",
    ]

    private static let files = [
        "cachestat", "chdir", "close", "close_range", "copy_file_range", "dup", "dup3", "faccessat", "faccessat2",
        "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl",
        "fdatasync", "fgetxattr", "file_getattr", "file_setattr", "flistxattr", "flock", "fremovexattr", "fsetxattr",
        "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64", "getxattr", "getxattrat",
        "inotify_add_watch", "inotify_init1", "inotify_rm_watch", "ioctl", "lgetxattr", "linkat", "listxattr",
        "listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "mkdirat", "mknodat", "name_to_handle_at",
        "newfstatat", "openat", "openat2", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2",
        "read", "readahead", "readlinkat", "readv", "removexattr", "removexattrat", "renameat", "renameat2",
        "sendfile", "setxattr", "setxattrat", "splice", "statfs", "statx", "symlinkat", "sync", "sync_file_range",
        "syncfs", "tee", "truncate", "umask", "unlinkat", "utimensat", "vmsplice", "write", "writev",
        // Asynchronous input and output of the old kind.
        "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
    ]

    /// ptrace and process_vm_readv look at processes that the caller could become; debuggers need them. `clone` is allowed by
    /// its flags, `personality` by its value.
    private static let processes = [
        "capget", "capset", "execve", "execveat", "exit", "exit_group", "get_robust_list", "getegid", "geteuid",
        "getgid", "getgroups", "getpgid", "getpid", "getppid", "getpriority", "getresgid", "getresuid", "getrlimit",
        "getrusage", "getsid", "gettid", "getuid", "ioprio_get", "ioprio_set", "kill", "pidfd_open",
        "pidfd_send_signal", "prctl", "prlimit64", "process_vm_readv", "process_vm_writev", "ptrace",
        "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
        "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max",
        "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
        "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
        "sched_yield", "set_robust_list", "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setpgid",
        "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setuid",
        "sigaltstack", "tgkill", "times", "tkill", "wait4", "waitid",
    ]

    private static let waiting = [
        "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "eventfd2", "futex", "futex_requeue",
        "futex_wait", "futex_waitv", "futex_wake", "ppoll", "pselect6", "signalfd4",
    ]

    /// Setting the clock by adjtimex and clock_adjtime needs CAP_SYS_TIME; reading it does not.
    private static let time = [
        "adjtimex", "clock_adjtime", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday",
        "nanosleep", "setitimer", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
        "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    ]

    /// Of System V and POSIX, in the sandbox's own ipc namespace.
    private static let messages = [
        "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget",
        "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
    ]

    /// Older forms that newer architectures leave out, and what is the processor's own.
    static let ofX86 = [
        "access", "alarm", "arch_prctl", "chmod", "chown", "creat", "dup2", "epoll_create", "epoll_wait", "eventfd",
        "fork", "futimesat", "getdents", "getpgrp", "inotify_init", "lchown", "link", "lstat", "mkdir", "mknod",
        "modify_ldt", "open", "pause", "pipe", "poll", "readlink", "rename", "rmdir", "select", "signalfd", "stat",
        "symlink", "time", "unlink", "uretprobe", "utime", "utimes", "vfork",
    ]
}
