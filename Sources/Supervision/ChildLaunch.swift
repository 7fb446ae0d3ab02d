import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Starts this program again as a child of the supervisor. The child has its own process group, so that Ctrl-C at a
/// terminal reaches only the supervisor, and it ends when the supervisor does.
package struct ChildLaunch {
    /// The number of the first descriptor of `passed`.
    package static let firstPassed: CInt = 3
    /// The program that is running now, even if its file has been replaced: another version might not read the handover.
    private static let program = "/proc/self/exe"

    private let launch: ProcessLaunch
    private let input: [UInt8]

    /// - Parameters:
    ///   - arguments: after the program's name. They must not contain secrets, since every user of the machine can read them.
    ///   - directory: the working directory; nil for the supervisor's.
    ///   - input: what the child reads from its standard input.
    ///   - passed: descriptors that the child gets as 3, 4 and so on.
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
