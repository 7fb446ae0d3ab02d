import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// This program once more, as a process of the supervisor's: it has a group of its own, so that a terminal's Ctrl-C reaches the
/// supervisor alone, and ends with it.
package struct ChildLaunch {
    /// The number of the first descriptor of `passed`.
    package static let firstPassed: CInt = 3
    /// What this process runs, also where its file has been replaced meanwhile: another version would not understand it.
    private static let program = "/proc/self/exe"

    private let launch: ProcessLaunch
    private let input: [UInt8]

    /// - Parameters:
    ///   - arguments: behind the program's name; no secret is among them, since all users of the machine can read them.
    ///   - directory: nil: that of the supervisor.
    ///   - input: what the process reads from its standard input.
    ///   - passed: descriptors that it has as 3, 4 and so on.
    package init(
        arguments: [String], environment: [String: String], directory: String? = nil, input: [UInt8], passed: [CInt]
    ) {
        var launch = ProcessLaunch(
            ["sallyport"] + arguments, environment: environment.map { "\($0)=\($1)" }.sorted())
        launch.program = Self.program
        launch.directory = directory
        launch.passed = passed
        (launch.output, launch.error) = (STDERR_FILENO, STDERR_FILENO)
        launch.hasOwnGroup = true
        self.launch = launch
        self.input = input
    }

    /// - Throws: `SupervisionError`.
    package func start() throws(SupervisionError) -> pid_t {
        let file = input.withUnsafeBytes { linux_memory_file("sallyport-handover", $0.baseAddress, $0.count) }
        guard file >= 0 else { throw SupervisionError("handing over", code: -file) }
        defer { close(file) }
        var launch = launch
        launch.input = file
        do throws(SystemCallError) { return try launch.start() } catch {
            throw SupervisionError("starting \(Self.program)", code: error.code)
        }
    }
}
