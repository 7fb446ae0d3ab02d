import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Starts a process that inherits only what is given here.
package struct ProcessLaunch: Sendable {
    /// Mounts that only it sees.
    package struct Mounts: Sendable {
        /// A folder that is empty for it; what it makes there is gone with it.
        package var hidden: String?
        /// Files and folders that are bind-mounted at another path.
        package var bindings: [(source: String, target: String)] = []
        /// Mounts that are attached nowhere else, after the bindings and in this order. The caller keeps the descriptors.
        package var attachments: [Attachment] = []
        /// The only folder that it can write to, where devices cannot be opened and set-id bits have no effect.
        package var writableFolder: String?

        package init() {}

        package struct Attachment: Hashable, Sendable {
            /// Of `linux_mount_view`.
            package var tree: CInt
            package var target: String

            package init(tree: CInt, target: String) { (self.tree, self.target) = (tree, target) }
        }
    }

    /// The program, an absolute path or a name for `searchPath`, and its arguments.
    package var arguments: [String]
    /// The file to run, where that is another than the first argument says.
    package var program: String?
    /// Separated by colons; nil for no search.
    package var searchPath: String?
    /// `NAME=value`.
    package var environment: [String]
    /// nil for the current one.
    package var directory: String?
    /// Descriptors for 0, 1 and 2; -1 for /dev/null. The caller keeps them.
    package var input: CInt = -1, output: CInt = -1, error: CInt = -1
    /// Descriptors that it gets as 3, 4 and so on. The caller keeps them.
    package var passed: [CInt] = []
    /// Descriptors of `cgroup.procs` of the control groups that it joins before it runs.
    package var joined: [CInt] = []
    /// Whether it gets its own process group, so that everything it starts can be signalled together.
    package var hasOwnGroup = false
    /// Whether it leads a session of its own, whose controlling terminal is `input`.
    package var controlsTerminal = false
    /// nil for this process's. If either is set, supplementary groups are dropped.
    package var user: UInt32?, group: UInt32?
    package var mounts: Mounts?
    /// The path of the network namespace to enter.
    package var networkNamespace: String?
    /// Whether it is killed when the thread that started it ends, and so with this process, so that a crash leaves no
    /// helper behind.
    package var endsWithThread = true
    /// How likely the kernel kills it when memory runs out (oom_score_adj, proc(5)); 0 for this process's value.
    package var outOfMemoryScore: Int32 = 0
    /// How many descriptors it may have open, where that is not as many as this process may.
    package var openFiles: UInt64?

    /// What it gives up for good, so that neither it nor what it starts can have it again.
    package struct Confinement: Sendable, Hashable {
        /// Which system calls are refused.
        package enum Refusals: CInt, Sendable { case none, namespaces, forSession }

        /// The capabilities that stay, as bits, of those that there are.
        package var capabilities: UInt64
        package var refusals: Refusals
        /// A user namespace of its own, in which there are these ids alone, and they are its own; nil for none.
        package var ownUsers: Identity?

        package struct Identity: Sendable, Hashable {
            package var user, group: UInt32
            package init(user: UInt32, group: UInt32) { (self.user, self.group) = (user, group) }
        }

        package init(capabilities: UInt64, refusals: Refusals) {
            (self.capabilities, self.refusals) = (capabilities, refusals)
        }
    }
    package var confinement: Confinement?

    package init(_ arguments: [String], environment: [String]) {
        self.arguments = arguments
        self.environment = environment
    }

    /// - Returns: its pid, which is also the number of its own group, if it has one.
    /// - Throws: the errno of the failed step, including exec; then there is no process.
    package func start() throws(SystemCallError) -> pid_t {
        let texts = Texts()
        let words = texts.list(arguments), variables = texts.list(environment)
        let bindings = (mounts?.bindings ?? []).map {
            linux_binding(source: texts.one($0.source), target: texts.one($0.target))
        }
        let attachments = (mounts?.attachments ?? []).map {
            linux_attachment(tree: $0.tree, target: texts.one($0.target))
        }
        let pid = words.withUnsafeBufferPointer { words in
            variables.withUnsafeBufferPointer { variables in
                bindings.withUnsafeBufferPointer { bindings in
                    passed.withUnsafeBufferPointer { passed in
                        var options = linux_spawn_options()
                        options.executable = texts.one(program) ?? UnsafePointer(words[0])
                        options.search_path = texts.one(searchPath)
                        options.arguments = words.baseAddress
                        options.environment = variables.baseAddress
                        options.directory = texts.one(directory)
                        (options.input, options.output, options.error) = (input, output, error)
                        (options.passed, options.passed_count) = (passed.baseAddress, CInt(passed.count))
                        options.grouping = controlsTerminal ? 1 : hasOwnGroup ? 2 : 0
                        options.controlling_terminal = controlsTerminal ? 1 : 0
                        options.user = user.map(Int64.init) ?? -1
                        options.group = group.map(Int64.init) ?? -1
                        options.private_mounts = mounts == nil ? 0 : 1
                        options.hidden_folder = texts.one(mounts?.hidden)
                        (options.bindings, options.binding_count) = (bindings.baseAddress, CInt(bindings.count))
                        options.writable_folder = texts.one(mounts?.writableFolder)
                        options.network_namespace = texts.one(networkNamespace)
                        options.parent_death_signal = endsWithThread ? SIGKILL : 0
                        options.out_of_memory_score = outOfMemoryScore
                        options.open_files = openFiles ?? 0
                        if let confinement {
                            options.confined = 1
                            options.kept_capabilities = confinement.capabilities
                            options.refused_calls = confinement.refusals.rawValue
                            if let inside = confinement.ownUsers {
                                (options.own_users, options.inside_user, options.inside_group) = (
                                    1, inside.user, inside.group
                                )
                            }
                        }
                        return joined.withUnsafeBufferPointer { joined in
                            attachments.withUnsafeBufferPointer { attachments in
                                (options.joined, options.joined_count) = (joined.baseAddress, CInt(joined.count))
                                options.attachments = attachments.baseAddress
                                options.attachment_count = CInt(attachments.count)
                                return linux_spawn(&options)
                            }
                        }
                    }
                }
            }
        }
        withExtendedLifetime(texts) {}
        guard pid > 0 else { throw SystemCallError(code: -pid) }
        return pid
    }
}

/// C strings, freed with their owner.
private final class Texts {
    private var copies: [UnsafeMutablePointer<CChar>?] = []

    deinit { for copy in copies { free(copy) } }

    func list(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] {
        let made = texts.map { strdup($0) }
        copies += made
        return made + [nil]
    }

    func one(_ text: String?) -> UnsafePointer<CChar>? { text.map { list([$0])[0] }.flatMap { UnsafePointer($0) } }
}
