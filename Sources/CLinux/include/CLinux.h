#ifndef SALLYPORT_CLINUX_H
#define SALLYPORT_CLINUX_H

// The Linux calls that Swift's Glibc module does not carry (it is built without _GNU_SOURCE).
// Every function returns what the system call returns, or -errno where a comment says so.

#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <semaphore.h>

// --- namespaces -------------------------------------------------------------------------------
#define LINUX_NEWNS 0x00020000
#define LINUX_NEWNET 0x40000000

int linux_setns(int descriptor, int kind);
int linux_unshare(int kinds);

/// A new user namespace in which the ids 0 to count - 1 are first to first + count - 1 of this one; it belongs to the user `first`.
/// Its descriptor, or -errno.
int linux_user_namespace(uint32_t first, uint32_t count);
/// Mounts the folder `from` on `to`, read-only, with the owners of its files as that user namespace maps them (Linux 5.12); 0
/// or -errno.
int linux_mount_idmapped(const char *from, const char *to, int user_namespace);

// --- processes --------------------------------------------------------------------------------
int linux_pidfd_open(pid_t process);
int linux_pidfd_send_signal(int pidfd, int signal);
/// A copy of a descriptor that a process has (Linux 5.6), or -1 and errno.
int linux_pidfd_getfd(int pidfd, int descriptor);
int linux_set_parent_death_signal(int signal);
int linux_set_child_subreaper(int enabled);
int linux_set_no_new_privileges(void);
int linux_set_dumpable(int enabled);

// --- epoll, eventfd ------------------------------------------------------------------
#define LINUX_EPOLLIN 0x001u
#define LINUX_EPOLLOUT 0x004u
#define LINUX_EPOLLERR 0x008u
#define LINUX_EPOLLHUP 0x010u
#define LINUX_EPOLLRDHUP 0x2000u
#define LINUX_EPOLLET 0x80000000u

/// One readiness report: `data` is what the caller registered, never interpreted here.
typedef struct linux_event {
    uint32_t events;
    uint64_t data;
} linux_event;

int linux_epoll_create(void);
int linux_epoll_add(int epoll, int descriptor, uint32_t events, uint64_t data);
int linux_epoll_modify(int epoll, int descriptor, uint32_t events, uint64_t data);
int linux_epoll_remove(int epoll, int descriptor);
/// Waits for at most `capacity` (no more than 256) events; `timeout` in milliseconds, -1 for ever.
int linux_epoll_wait(int epoll, linux_event *events, int capacity, int timeout);
int linux_eventfd(void);
/// sem_wait(3) until a time of CLOCK_MONOTONIC in nanoseconds at most; 0 or -errno.
int linux_semaphore_wait(sem_t *semaphore, uint64_t deadline);

// --- batched datagrams ------------------------------------------------------------------------
/// A fixed pool of datagram buffers for recvmmsg and sendmmsg: allocated once, reused for ever.
typedef struct linux_datagrams linux_datagrams;

linux_datagrams *linux_datagrams_create(unsigned int slots, unsigned int bytes_each);
void linux_datagrams_destroy(linux_datagrams *pool);
uint8_t *linux_datagrams_bytes(linux_datagrams *pool, unsigned int slot);
unsigned int linux_datagrams_length(const linux_datagrams *pool, unsigned int slot);
void linux_datagrams_set_length(linux_datagrams *pool, unsigned int slot, unsigned int length);
/// The peer of a slot: filled by receive, read by send; for a connected socket set its length to 0.
struct sockaddr_storage *linux_datagrams_peer(linux_datagrams *pool, unsigned int slot);
socklen_t linux_datagrams_peer_length(const linux_datagrams *pool, unsigned int slot);
void linux_datagrams_set_peer_length(linux_datagrams *pool, unsigned int slot, socklen_t length);
/// Receives up to `slots` datagrams without blocking; the count, or -errno. Truncated ones have length 0.
int linux_datagrams_receive(linux_datagrams *pool, int socket, unsigned int slots);
/// Sends slots first..<first+count without blocking; the count sent, or -errno.
int linux_datagrams_send(linux_datagrams *pool, int socket, unsigned int first, unsigned int count);
/// Sends runs of slots without blocking; the count of runs sent, or -errno. Run i is the slots from order[starts[i]] to before
/// order[starts[i + 1]], all equally long and for one peer. Where it has several, they pass through the network's layers as one
/// packet, which is cut up where it arrives or leaves the machine (UDP_SEGMENT, Linux 4.18).
int linux_datagrams_send_runs(
    linux_datagrams *pool, int socket, const uint16_t *order, const uint16_t *starts, unsigned int count);

// --- secrets ------------------------------------------------------------------------------------
/// 1 where both are the same and the secret is not empty, else 0, in a time that depends on `length` alone.
int linux_secret_equals(const uint8_t *presented, size_t length, const uint8_t *secret, size_t secret_length);

// --- one process launcher ---------------------------------------------------------------------
/// A file or folder that is to be seen at another place, too.
typedef struct linux_binding {
    const char *source, *target;
} linux_binding;

/// A mount that is attached nowhere yet (`linux_mount_view`), and the file or folder to attach it on.
typedef struct linux_attachment {
    int tree;
    const char *target;
} linux_attachment;

typedef struct linux_spawn_options {
    /// Absolute path, or a name looked up in `search_path` (colon separated; NULL: no look-up).
    const char *executable;
    const char *search_path;
    char *const *arguments;
    char *const *environment;
    /// NULL keeps the current folder.
    const char *directory;
    /// Descriptors for 0, 1 and 2; -1 opens /dev/null.
    int input, output, error;
    /// Descriptors that the child has as 3, 4 and so on, in this order.
    const int *passed;
    int passed_count;
    /// Descriptors of control groups' files (`cgroup.procs`, or `tasks` of version 1) that the child moves itself by.
    const int *joined;
    int joined_count;
    /// 1: own session (setsid); 2: own process group (setpgid); 0: neither.
    int grouping;
    /// 1: makes `input` the controlling terminal (needs grouping 1).
    int controlling_terminal;
    /// -1 keeps the current one. Supplementary groups are cleared when either is set.
    int64_t user, group;
    /// 1: a private mount namespace; `hidden_folder` (may be NULL) is an empty one of its own there, then `bindings` are mounted
    /// in their order, with what is mounted below.
    int private_mounts;
    const char *hidden_folder;
    const struct linux_binding *bindings;
    int binding_count;
    /// With `private_mounts`: mounts that are attached nowhere yet, attached after the bindings in this order.
    const struct linux_attachment *attachments;
    int attachment_count;
    /// A file of the network namespace to be in; NULL keeps the current one.
    const char *network_namespace;
    /// With `private_mounts`: nothing but this folder can be written to, and in it no device node opens and no set-id bit
    /// counts (Linux 5.12). NULL: everything is as it is.
    const char *writable_folder;
    /// Signal sent to the child when the thread that spawned it dies; 0 for none.
    int parent_death_signal;
    /// 1: no_new_privs.
    int no_new_privileges;
    /// 1: gives up all capabilities but `kept_capabilities` (of those that it has) for good, as `linux_confine`, and then the
    /// calls of `refused_calls` (LINUX_REFUSE_…; 0 for none).
    int confined;
    uint64_t kept_capabilities;
    int refused_calls;
    /// 1: a user namespace of its own, in which its user and group have these ids and there are no others.
    int own_users;
    uint32_t inside_user, inside_group;
    /// How soon the kernel ends it when memory runs out (oom_score_adj, proc(5)); 0 keeps the current one, as does a kernel or
    /// a /proc that does not let it be raised.
    int out_of_memory_score;
    /// How many descriptors the child may have open, if it is allowed as many (RLIMIT_NOFILE); 0 keeps this process's number.
    uint64_t open_files;
} linux_spawn_options;

/// Starts a process; its pid, or -errno of the step that failed. The child gets default signal
/// dispositions, an empty mask and no descriptor but those named.
pid_t linux_spawn(const linux_spawn_options *options);

// --- terminals ----------------------------------------------------------------------------------
/// A new pseudo terminal: its master, which does not block, or -errno; `terminal` is the side of the programs. Both are
/// close-on-exec, and neither becomes the caller's controlling terminal.
int linux_open_terminal(int *terminal);
/// 0 or -errno. The foreground group gets SIGWINCH where the size is another.
int linux_set_terminal_size(int descriptor, uint16_t columns, uint16_t rows);
/// The process group in the foreground of a master's terminal; 0 for none, or -errno.
pid_t linux_foreground_group(int master);

// --- mounts ---------------------------------------------------------------------
/// O_PATH, which Swift's Glibc module does not have.
#define LINUX_O_PATH 0x200000
#define LINUX_MOUNT_READ_ONLY 1u
#define LINUX_MOUNT_NO_SET_ID 2u
#define LINUX_MOUNT_NO_DEVICES 4u
/// A copy of what is mounted at a path (or at the descriptor alone where that is ""), with what is mounted below, attached
/// nowhere; its descriptor, or -errno (Linux 5.2). The path's last link is not followed.
int linux_mount_copy(int directory, const char *path);
/// Adds attributes (LINUX_MOUNT_…) to a mount and to all below it; 0 or -errno (Linux 5.12).
int linux_mount_restrict(int directory, const char *path, uint64_t attributes);
/// A copy of the mount that an open file or folder (O_PATH will do) is on, from there on and without what is mounted below,
/// attached nowhere and receiving no mounts of others; with attributes (LINUX_MOUNT_…), and with the owners of a user
/// namespace where that is not -1. Its descriptor, or -errno (Linux 5.12).
int linux_mount_view(int place, uint64_t attributes, int user_namespace);
/// Attaches a copy at a path; 0 or -errno.
int linux_mount_attach(int copy, const char *path);
/// Attaches a copy on an open file or folder; 0 or -errno.
int linux_mount_attach_on(int copy, int place);
/// The thread gets a root and a current folder of its own, which others no longer change; 0 or -errno.
int linux_own_folders(void);
/// Makes an open folder the root and the current folder of those who share them with this thread; 0 or -errno.
int linux_change_root(int folder);
/// 1 where an open folder of an overlay's upper side hides the one below (in a user namespace's overlays), else 0.
int linux_is_opaque(int folder);
int linux_set_host_name(const char *name);
/// Lets the network namespace reach itself (127.0.0.1); 0 or -errno.
int linux_raise_loopback(void);
int linux_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
/// Detaches what is mounted on `target`, with everything beneath it; a link there is not followed.
int linux_unmount_detached(const char *target);
/// The same, and what waits for its file system gets an error, where the file system can do that: FUSE can.
int linux_unmount_forced(const char *target);
/// The magic number of the file system that holds `path` (statfs(2)), or -errno.
int64_t linux_filesystem_type(const char *path);

// --- files ------------------------------------------------------------------------------------
/// openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS; a descriptor or -errno.
int linux_open_beneath(int directory, const char *path, int flags, unsigned int mode);
/// openat2 of a path below a folder, with no link in it and never out of the folder; a descriptor or -errno.
int linux_open_inside(int directory, const char *path, int flags);
/// openat2 of a path with no link in it, at its end neither (-ELOOP); a descriptor or -errno.
int linux_open_without_links(const char *path, int flags);
/// openat2 of a name or path, never through a link, out of the folder, or onto another mount (-EXDEV); a descriptor or -errno.
int linux_open_within(int directory, const char *name, int flags);
/// Takes the immutable and append-only flags off; 0, -ENODATA where there were none, or -errno.
int linux_lift_protection(int descriptor);
/// Detaches every mount on a name of a folder; how many, or -errno where there was none.
int linux_unmount_at(int directory, const char *name);
/// Whether this thread could put something else in the place of a folder's entry: 0; -EBUSY: something is mounted there; -EPERM: it is
/// protected; or -errno.
int linux_check_replaceable(int folder, const char *name);
/// renameat2 that fails with EEXIST instead of replacing; 0 or -errno.
int linux_rename_at_new(int from_directory, const char *from, int to_directory, const char *to);
int linux_accept_nonblocking(int listener);
int linux_accept(int listener);
/// A pipe, close-on-exec at both ends; 0 or -errno.
int linux_pipe(int ends[2]);
/// When a file was made, in Unix seconds; -1 where its file system does not say.
int64_t linux_birth(int descriptor);
/// A new file in a folder, without a name there, open for reading and writing; a descriptor or -errno (EOPNOTSUPP where the
/// file system has none without a name).
int linux_unnamed_file(const char *folder);

/// What happens in folders, as of inotify(7).
#define LINUX_IN_MODIFY 0x00000002u
#define LINUX_IN_ATTRIB 0x00000004u
#define LINUX_IN_MOVED_FROM 0x00000040u
#define LINUX_IN_MOVED_TO 0x00000080u
#define LINUX_IN_CREATE 0x00000100u
#define LINUX_IN_DELETE 0x00000200u
#define LINUX_IN_DELETE_SELF 0x00000400u
#define LINUX_IN_MOVE_SELF 0x00000800u
#define LINUX_IN_UNMOUNT 0x00002000u
#define LINUX_IN_Q_OVERFLOW 0x00004000u
#define LINUX_IN_IGNORED 0x00008000u
#define LINUX_IN_ISDIR 0x40000000u
/// A descriptor that does not block, close-on-exec, or -errno.
int linux_inotify_create(void);
/// Watches an open folder for all of the above; its number, or -errno.
int linux_inotify_watch(int inotify, int folder);
void linux_inotify_forget(int inotify, int watch);
/// Makes a pipe hold so many bytes, if the system lets it.
void linux_pipe_resize(int end, int bytes);

// --- disks --------------------------------------------------------------------------------------
/// Mounts the ext4 file system in a file, without set-id bits and devices; the loop device goes with the mount. 0 or -errno.
int linux_mount_image(const char *image, const char *target, int read_only, const char *options);
/// The same for a file system that may be mounted already, here or in another mount namespace: its device is used again,
/// since two devices for one file would destroy what is in it.
int linux_mount_shared_image(const char *image, const char *target, const char *options);
/// Stops a mounted file system without writing what it has not written yet (FS_IOC_SHUTDOWN); 0 or -errno.
int linux_shut_down_filesystem(const char *target);
/// 1 where something is mounted there, 0 where not, or -errno.
int linux_is_mount_point(const char *path);

typedef struct linux_space {
    /// Bytes of a file system, and those that anybody may still use; inodes likewise (0 where it does not count them).
    uint64_t total, available, inodes, available_inodes;
} linux_space_t;
int linux_space(const char *path, struct linux_space *space);

/// Puts a folder, and what will be made in it, into a project (FS_IOC_FSSETXATTR); 0 or -errno.
int linux_set_project(const char *folder, uint32_t project);
/// The project of a folder, or -errno.
int64_t linux_project(const char *folder);
/// Limits a project on the file system of a folder; 0 for no limit. 0 or -errno (quotactl_fd, Linux 5.14).
int linux_limit_project(const char *folder, uint32_t project, uint64_t bytes, uint64_t inodes);
/// 1 where a project has files or limits, 0 where not, or -errno.
int linux_project_is_used(const char *folder, uint32_t project);

// --- relaying -----------------------------------------------------------------------------------
/// Moves bytes between a socket and a pipe without copying or waiting; the count, 0 at the end, or -errno.
ssize_t linux_splice(int from, int to, size_t bytes);
/// Where a redirected connection was meant for: SO_ORIGINAL_DST, or IP6T_SO_ORIGINAL_DST. 0 or -errno.
int linux_original_destination(int socket, int is_ipv6, struct sockaddr_storage *address);
/// Ends a TCP connection at once with a reset, whoever else holds its descriptor, which stays open. 0 or -errno.
int linux_abort_connection(int socket);
/// Keeps SIGPIPE, which splice raises, from the calling thread.
void linux_block_sigpipe(void);

// --- the identity of one thread towards file systems -------------------------------------------
// Raw calls: glibc's wrappers would carry a change of groups to every thread.
/// Sets the calling thread's file system uid; 0, or -EPERM where it stayed another.
int linux_thread_set_fsuid(uint32_t user);
int linux_thread_set_fsgid(uint32_t group);
/// Sets the calling thread's supplementary groups; 0 or -errno.
int linux_thread_set_groups(size_t count, const uint32_t *groups);

/// The names of a file's extended attributes, links not followed, each with a zero behind it: their length, or -errno.
ssize_t linux_list_attributes(const char *path, char *names, size_t size);
int linux_remove_attribute(const char *path, const char *name);
/// The same of an open file.
ssize_t linux_list_attributes_of(int file, char *names, size_t size);
/// The value of an open file's attribute: its length, or -errno.
ssize_t linux_attribute(int file, const char *name, void *value, size_t size);
int linux_set_attribute(int file, const char *name, const void *value, size_t size);
int linux_drop_attribute(int file, const char *name);

// --- copies of files ----------------------------------------------------------------------------
/// Makes `to` share all that is in `from` until either is written to (FICLONE); 0 or -errno (-EOPNOTSUPP, -EXDEV where not).
int linux_share_content(int from, int to);
/// copy_file_range of the bytes at one offset of both; how many, 0 at the end, or -errno.
ssize_t linux_copy_range(int from, int to, int64_t offset, size_t count);
/// Waits until the disk has all that was written to the file system of an open file; 0 or -errno.
int linux_synchronize_file_system(int file);

/// When a file was made, links not followed: 0, or -errno (-ENODATA where its file system does not know).
int linux_birth_time(const char *path, int64_t *seconds, uint32_t *nanoseconds);
/// rename(2) that fails with EEXIST instead of replacing; 0 or -errno.
int linux_rename_new(const char *from, const char *to);

// --- processes that keep each other ---------------------------------------------------------------
/// Gives up all that a process of one thread has but some capabilities, for good: the bounding set, the user and group (-1 keeps
/// them; else other groups go, too), new privileges. Capabilities that it does not have are passed over. 0 or -errno.
int linux_confine(int64_t user, int64_t group, uint64_t capabilities);
/// The capabilities of this thread, or -errno.
int64_t linux_permitted_capabilities(void);
/// Lets the process from now on do no more than relay between sockets: it opens no file (unless `reads_files`), starts no
/// program, makes no code. For all its threads; no_new_privs has to be set. 0 or -errno.
int linux_allow_relaying_only(int reads_files);
/// Calls that make namespaces and change mounts, which execd keeps for itself where it has isolated sessions.
#define LINUX_REFUSE_NAMESPACES 1
/// Those, and what looks into other processes or reaches more of the kernel than a session needs.
#define LINUX_REFUSE_FOR_SESSION 2
/// Refuses calls (EPERM; those that hide what they do from a filter ENOSYS), for this thread and those that it will start;
/// 0 or -errno. no_new_privs has to be set.
int linux_refuse_calls(int which);
/// The same for a guard, which also reads and writes files, listens, speaks netlink, and enters network namespaces.
int linux_allow_guarding_only(void);
/// The calls clone3 from now on fail with ENOSYS, in this thread and in all that it starts. Sets no_new_privs. 0 or -errno.
int linux_refuse_clone3(void);
/// Lets this thread, and all that it will start, reach no other files than those at and below some paths (lists that end with
/// NULL; a path that is not there is passed over), whatever their modes say, and no process but its own by signals.
/// - writable_folder: one more, by its descriptor; -1 for none.
/// - binds: whether it may listen for TCP.
/// 0 or -errno: ENOSYS or EOPNOTSUPP where the kernel has no Landlock. no_new_privs has to be set.
int linux_reach_only(const char *const *readable, const char *const *writable, int writable_folder, int binds);

/// An empty file in memory; its descriptor, close-on-exec, or -errno.
int linux_scratch_file(const char *name);
/// A file in memory that nobody can change any more; its descriptor, close-on-exec, or -errno.
int linux_memory_file(const char *name, const void *bytes, size_t length);
/// A page of words that this process writes, and those that get the descriptor can only read. NULL and errno on failure.
uint32_t *linux_shared_words(int *descriptor);
const uint32_t *linux_shared_words_of(int descriptor);
uint32_t linux_load_word(const uint32_t *words, size_t index);
void linux_store_word(uint32_t *words, size_t index, uint32_t value);

/// Blocks signals and gives a descriptor that has them, or -errno.
int linux_signal_descriptor(const int *signals, int count);
/// The next signal of such a descriptor; 0 where there is none.
int linux_read_signal(int descriptor);
/// Every descriptor but 0, 1 and 2 is closed in programs that are started from now on; 0 or -errno.
int linux_close_all_on_exec(void);

/// Sends one message over a socket that keeps their bounds, with a descriptor unless it is -1; never waits. 0 or -errno.
int linux_send_message(int socket, const void *bytes, size_t length, int descriptor);
/// Waits for a message; its length, 0 at the end, or -errno (-EMSGSIZE: it was larger than there is room). `descriptor` is
/// what came with it, close-on-exec, or -1.
ssize_t linux_receive_message(int socket, void *bytes, size_t capacity, int *descriptor);

// --- devices ------------------------------------------------------------------------------------
typedef struct linux_device {
    int is_block;
    /// `minor` -1 for all.
    int32_t major, minor;
} linux_device;
/// Lets the members of a control group of version 2 open these devices and no others: no more than 32. The program stays as
/// long as the group. 0 or -errno.
int linux_limit_devices(const char *group, const linux_device *allowed, int count);

// --- capabilities and memory --------------------------------------------------------------------
#define LINUX_CAP_NET_ADMIN 12
#define LINUX_CAP_SYS_RESOURCE 24
/// Gives up every capability but one, for the calling thread and those that it will start; 0 or -errno.
int linux_keep_capability(int kept);
/// Puts a capability that the calling thread has out of use, or in use again; 0 or -errno.
int linux_use_capability(int capability, int used);
/// At most so many heaps for all threads, and unused memory back to the kernel early: small before fast.
void linux_use_heaps(int most);

/// The uid of the process at the other end of a unix socket, or -errno.
int64_t linux_peer_uid(int socket);

#endif
