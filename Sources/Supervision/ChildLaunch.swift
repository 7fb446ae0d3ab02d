import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// This program once more, as a process of the supervisor's: it has a group of its own, so that a terminal's Ctrl-C reaches the
/// supervisor alone, and ends with it.
package struct ChildLaunch {
    /// The number of the first descriptor of `passed`.
    package static let firstPassed: CInt = 3

    /// Behind the program's name; no secret is among them, since all users of the machine can read them.
    package var arguments: [String]
    package var environment: [String: String]
    /// nil: that of the supervisor.
    package var directory: String?
    /// What the process reads from its standard input.
    package var input: [UInt8]
    /// Descriptors that it has as 3, 4 and so on.
    package var passed: [CInt]

    package init(
        arguments: [String], environment: [String: String], directory: String? = nil, input: [UInt8],
        passed: [CInt]
    ) {
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.input = input
        self.passed = passed
    }

    /// - Throws: `SupervisionError`.
    package func start() throws(SupervisionError) -> pid_t {
        let file = input.withUnsafeBytes { linux_memory_file("sallyport-handover", $0.baseAddress, $0.count) }
        guard file >= 0 else { throw SupervisionError("handing over", code: -file) }
        defer { close(file) }
        let program = Self.program
        let argumentList = CStrings(["sallyport"] + arguments)
        let variables = CStrings(environment.map { "\($0)=\($1)" }.sorted())
        var options = linux_spawn_options()
        (options.input, options.output, options.error) = (file, STDERR_FILENO, STDERR_FILENO)
        options.grouping = 2
        (options.user, options.group) = (-1, -1)
        options.parent_death_signal = SIGKILL
        let pid = program.withCString { program in
            passed.withUnsafeBufferPointer { passed in
                argumentList.withPointers { arguments in
                    variables.withPointers { variables in
                        withDirectory { directory in
                            options.executable = program
                            options.arguments = arguments
                            options.environment = variables
                            options.directory = directory
                            options.passed = passed.baseAddress
                            options.passed_count = CInt(passed.count)
                            return linux_spawn(&options)
                        }
                    }
                }
            }
        }
        guard pid > 0 else { throw SupervisionError("starting \(program)", code: -pid) }
        return pid
    }

    private func withDirectory<Value>(_ body: (UnsafePointer<CChar>?) -> Value) -> Value {
        guard let directory else { return body(nil) }
        return directory.withCString { body($0) }
    }

    /// The file that this process runs, also where another one has its name by now.
    private static let program: String = {
        var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &bytes, bytes.count)
        guard count > 0, count < bytes.count else { return "/proc/self/exe" }
        let path = String(decoding: bytes[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        return access(path, X_OK) == 0 ? path : "/proc/self/exe"
    }()
}

/// A list of texts as C has it, ended by a null pointer.
private struct CStrings {
    private let texts: [String]

    init(_ texts: [String]) { self.texts = texts }

    func withPointers<Value>(_ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Value) -> Value {
        var pointers: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeMutableBufferPointer { body(UnsafePointer($0.baseAddress!)) }
    }
}
