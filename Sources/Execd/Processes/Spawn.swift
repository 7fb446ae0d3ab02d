import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Starts all of execd's processes: each in its own process group, inheriting only the given descriptors.
enum Spawn {
    /// - Parameters:
    ///   - input: the descriptor for 0, as `output` and `error` for 1 and 2; -1 is /dev/null.
    ///   - passed: descriptors that it has as 3, 4 and so on.
    /// - Returns: the pid, which is also the number of its process group.
    static func start(
        _ spec: ProcessSpec, input: CInt = -1, output: CInt, error: CInt, passed: [CInt] = []
    ) throws(SpawnError) -> pid_t {
        let arguments = spec.arguments.map { strdup($0) } + [nil]
        let environment = spec.environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
        let directory = spec.directory.map { strdup($0) } ?? nil
        let path = strdup(spec.environment["PATH"] ?? ProcessSpec.defaultPath)
        defer {
            for text in arguments + environment + [directory, path] { free(text) }
        }
        let status = arguments.withUnsafeBufferPointer { arguments in
            environment.withUnsafeBufferPointer { environment in
                passed.withUnsafeBufferPointer { passed in
                    var options = linux_spawn_options()
                    options.executable = UnsafePointer(arguments[0])
                    options.search_path = UnsafePointer(path)
                    options.arguments = arguments.baseAddress
                    options.environment = environment.baseAddress
                    options.directory = UnsafePointer(directory)
                    (options.input, options.output, options.error) = (input, output, error)
                    options.passed = passed.baseAddress
                    options.passed_count = Int32(passed.count)
                    options.grouping = 2
                    options.out_of_memory_score = spec.rank.rawValue
                    options.user = spec.user.map(Int64.init) ?? -1
                    options.group = spec.group.map(Int64.init) ?? -1
                    return spec.joins.withUnsafeBufferPointer { joins in
                        options.joined = joins.baseAddress
                        options.joined_count = Int32(joins.count)
                        return linux_spawn(&options)
                    }
                }
            }
        }
        guard status > 0 else { throw SpawnError(program: spec.arguments[0], code: -status) }
        return status
    }
}
