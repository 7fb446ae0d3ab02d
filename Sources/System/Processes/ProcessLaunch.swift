import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// How a process is started: with nothing of this one's but what is named here.
package struct ProcessLaunch: Sendable {
    /// What is mounted for it alone.
    package struct Mounts: Sendable {
        /// Taken away from its sight.
        package var hidden: String?
        /// Files and folders that it sees at another place, too.
        package var bindings: [(source: String, target: String)] = []
        /// All that it can write to; no device opens in it and no set-id bit counts there.
        package var writableFolder: String?

        package init() {}
    }

    /// The program, an absolute path or a name for `searchPath`, and its arguments.
    package var arguments: [String]
    /// Colon separated; nil: no look-up.
    package var searchPath: String?
    /// `NAME=value`.
    package var environment: [String]
    /// nil keeps the current one.
    package var directory: String?
    /// Descriptors for 0, 1 and 2; -1 is /dev/null. They stay the caller's.
    package var input: CInt = -1, output: CInt = -1, error: CInt = -1
    /// Descriptors that it has as 3, 4 and so on. They stay the caller's, too.
    package var passed: [CInt] = []
    /// Descriptors of `cgroup.procs` of the control groups to be in from the first.
    package var joined: [CInt] = []
    /// A process group of its own, so that all that it starts can be signalled together.
    package var hasOwnGroup = false
    /// nil keeps this process's. Supplementary groups go with either.
    package var user: UInt32?, group: UInt32?
    package var mounts: Mounts?
    /// A file of the network namespace to be in.
    package var networkNamespace: String?
    /// Killed when the thread that started it ends, and so with this process. No helper is left behind by a crash.
    package var endsWithThread = true
    /// How soon the kernel ends it when memory runs out (oom_score_adj, proc(5)); 0 keeps this process's.
    package var outOfMemoryScore: Int32 = 0

    package init(_ arguments: [String], environment: [String]) {
        self.arguments = arguments
        self.environment = environment
    }

    /// - Returns: its number, which is that of its group, too, where it has one.
    /// - Throws: the errno of the step that failed, exec included; then there is no process.
    package func start() throws(SystemCallError) -> pid_t {
        let texts = Texts()
        let words = texts.list(arguments), variables = texts.list(environment)
        let bindings = (mounts?.bindings ?? []).map {
            linux_binding(source: texts.one($0.source), target: texts.one($0.target))
        }
        let pid = words.withUnsafeBufferPointer { words in
            variables.withUnsafeBufferPointer { variables in
                bindings.withUnsafeBufferPointer { bindings in
                    passed.withUnsafeBufferPointer { passed in
                        var options = linux_spawn_options()
                        options.executable = UnsafePointer(words[0])
                        options.search_path = texts.one(searchPath)
                        options.arguments = words.baseAddress
                        options.environment = variables.baseAddress
                        options.directory = texts.one(directory)
                        (options.input, options.output, options.error) = (input, output, error)
                        (options.passed, options.passed_count) = (passed.baseAddress, CInt(passed.count))
                        options.grouping = hasOwnGroup ? 2 : 0
                        options.user = user.map(Int64.init) ?? -1
                        options.group = group.map(Int64.init) ?? -1
                        options.private_mounts = mounts == nil ? 0 : 1
                        options.hidden_mount = texts.one(mounts?.hidden)
                        (options.bindings, options.binding_count) = (bindings.baseAddress, CInt(bindings.count))
                        options.writable_folder = texts.one(mounts?.writableFolder)
                        options.network_namespace = texts.one(networkNamespace)
                        options.parent_death_signal = endsWithThread ? SIGKILL : 0
                        options.out_of_memory_score = outOfMemoryScore
                        return joined.withUnsafeBufferPointer { joined in
                            (options.joined, options.joined_count) = (joined.baseAddress, CInt(joined.count))
                            return linux_spawn(&options)
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

/// Texts for C, freed with their owner.
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
