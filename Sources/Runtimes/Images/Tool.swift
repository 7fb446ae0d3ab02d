import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// An external program that is run to completion: skopeo, umoci.
struct Tool: Hashable, Sendable {
    /// The result of a run. Output and errors have at most `outputLimit` bytes each; of errors the last.
    struct Outcome: Hashable, Sendable {
        /// Nil if it was killed for taking too long or too much disk.
        var code: Int32?
        /// The resource that it used up.
        var shortage: RuntimeError?
        var output: String
        var errors: String
    }

    let executable: String

    private static let searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    private static let outputLimit = 64 << 10
    /// How often to check; a fast disk can write some hundred megabytes meanwhile.
    private static let lookMilliseconds = 100
    /// Environment variables about proxies and certificates, which are passed on. Nothing else of the server's
    /// environment is.
    private static let handedOn = [
        "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ]

    /// - Throws: `ImageError.missingTool`.
    static func find(_ name: String, package: String) throws(ImageError) -> Tool {
        for folder in searchPath.split(separator: ":") where access("\(folder)/\(name)", X_OK) == 0 {
            return Tool(executable: "\(folder)/\(name)")
        }
        throw .missingTool(name, package: package)
    }

    /// Runs it and waits, blocking the thread. It and its children are killed with the thread, and after
    /// `milliseconds`.
    ///
    /// - Parameters:
    ///   - home: the folder for its home and temporary files.
    ///   - confined: whether it can write only to `home`, and cannot open device nodes there.
    ///   - reserve: the disk space that it must leave; it is killed if it writes too much.
    func run(
        _ arguments: [String], home: String, milliseconds: Int, confined: Bool = false, reserve: DiskReserve? = nil
    ) throws(ImageError) -> Outcome {
        let (output, errors) = try (OutputPipe(), OutputPipe())
        let pid: pid_t
        do throws(SystemCallError) {
            pid = try launch(arguments, home: home, confined, output: output.writeEnd, errors: errors.writeEnd).start()
        } catch {
            throw .storage(action: "starting \(executable)", reason: "\(error)")
        }
        output.closeWriteEnd()
        errors.closeWriteEnd()

        func now() -> Int { Int(SystemClock.monotonicMilliseconds()) }
        let deadline = now() + milliseconds
        var expired = false
        var shortage: RuntimeError?
        while !expired, shortage == nil, output.isOpen || errors.isOpen {
            var polled = [output, errors].map { pollfd(fd: $0.readEnd, events: Int16(POLLIN), revents: 0) }
            let left = max(deadline - now(), 0)
            let ready = poll(&polled, 2, Int32(clamping: reserve == nil ? left : min(left, Self.lookMilliseconds)))
            expired = ready == 0 && now() >= deadline
            if ready > 0, polled[0].revents != 0 { output.read(keepingFirst: Self.outputLimit) }
            if ready > 0, polled[1].revents != 0 { errors.read(keepingLast: Self.outputLimit) }
            do throws(RuntimeError) { try reserve?.check() } catch { shortage = error }
        }
        // Kill its process group, with everything that it has started.
        if expired || shortage != nil { kill(-pid, SIGKILL) }
        let end = ProcessExit(waitingFor: pid)
        return Outcome(
            code: expired || shortage != nil ? nil : end.code, shortage: shortage, output: output.text,
            errors: errors.text)
    }

    private func launch(
        _ arguments: [String], home: String, _ confined: Bool, output: CInt, errors: CInt
    ) -> ProcessLaunch {
        let variables =
            ["PATH=\(Self.searchPath)", "HOME=\(home)", "TMPDIR=\(home)", "LC_ALL=C.UTF-8"]
            + Self.handedOn.compactMap { name in getenv(name).map { "\(name)=\(String(cString: $0))" } }
        var launch = ProcessLaunch([executable] + arguments, environment: variables)
        (launch.output, launch.error) = (output, errors)
        launch.hasOwnGroup = true
        if confined {
            launch.mounts = ProcessLaunch.Mounts()
            launch.mounts!.writableFolder = home
        }
        // What others have packed may take any memory to unpack: where it runs out, the server and sandboxes stay.
        launch.outOfMemoryScore = 1000
        return launch
    }
}

/// Reads a program's output as it arrives. What is still open of it is closed with this object.
private final class OutputPipe {
    private(set) var readEnd: CInt = -1
    private(set) var writeEnd: CInt = -1
    private var bytes: [UInt8] = []

    init() throws(ImageError) {
        var ends: [CInt] = [-1, -1]
        let result = linux_pipe(&ends)
        guard result == 0 else {
            throw .storage(action: "starting a program", reason: String(cString: strerror(-result)))
        }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    var isOpen: Bool { readEnd >= 0 }
    var text: String { String(decoding: bytes, as: UTF8.self) }

    func read(keepingFirst limit: Int) {
        let room = limit - bytes.count
        bytes += take().prefix(max(room, 0))
    }

    func read(keepingLast limit: Int) {
        bytes = (bytes + take()).suffix(limit)
    }

    private func take() -> ArraySlice<UInt8> {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        let count = Glibc.read(readEnd, &buffer, buffer.count)
        if count == 0 || (count < 0 && errno != EINTR) {
            close(readEnd)
            readEnd = -1
        }
        return buffer.prefix(max(count, 0))
    }

    func closeWriteEnd() {
        if writeEnd >= 0 { close(writeEnd) }
        writeEnd = -1
    }

    deinit {
        closeWriteEnd()
        if readEnd >= 0 { close(readEnd) }
    }
}
