import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Starts all of execd's processes: each in its own process group, inheriting only the given descriptors.
enum Spawn {
    private static let restraint = Mutex<ProcessLaunch.Confinement?>(nil)

    /// What all processes that are started from now on give up, but those that say otherwise (`ProcessSpec.keepsRights`).
    static func restrain(_ confinement: ProcessLaunch.Confinement?) { restraint.withLock { $0 = confinement } }

    /// - Parameters:
    ///   - input: the descriptor for 0, as `output` and `error` for 1 and 2; -1 is /dev/null.
    ///   - passed: descriptors that it has as 3, 4 and so on.
    /// - Returns: the pid, which is also the number of its process group.
    static func start(
        _ spec: ProcessSpec, input: CInt = -1, output: CInt, error: CInt, passed: [CInt] = []
    ) throws(SpawnError) -> pid_t {
        var launch = ProcessLaunch(
            spec.arguments, environment: spec.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
        launch.searchPath = spec.environment["PATH"] ?? ProcessSpec.defaultPath
        launch.directory = spec.directory
        (launch.input, launch.output, launch.error) = (input, output, error)
        launch.passed = passed
        launch.joined = spec.joins
        launch.hasOwnGroup = true
        launch.controlsTerminal = spec.controlsTerminal
        launch.outOfMemoryScore = spec.rank.rawValue
        launch.openFiles = OpenFiles.forOthers
        launch.confinement = spec.keepsRights ? nil : restraint.withLock { $0 }
        (launch.user, launch.group) = (spec.user, spec.group)
        // A command is the sandbox's, not the server's: it goes on where that one ends and is started again. And any of
        // the pool's threads starts it, which end when they have nothing to do.
        launch.endsWithThread = false
        do throws(SystemCallError) { return try launch.start() } catch {
            throw SpawnError(program: spec.arguments[0], code: error.code)
        }
    }
}
