import FoundationEssentials
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// An image registry on a loopback port of its own, which keeps its blobs in a folder; ended with the value.
public final class RegistryServer: Sendable {
    public struct User: Sendable {
        public let name: String
        public let password: String

        public init(name: String, password: String) {
            self.name = name
            self.password = password
        }
    }

    /// Host and port.
    public let address: String
    /// Nil when it has ended: a process id is used again.
    private let process: Mutex<pid_t?>
    private let folder: String

    /// - Parameter user: the only one who may read and write; nil for everybody.
    public init(user: User? = nil) async throws {
        folder = "/tmp/spt-registry-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let port = Self.freePort()
        address = "127.0.0.1:\(port)"
        var configuration = """
            version: 0.1
            log: { level: error, accesslog: { disabled: true } }
            storage: { filesystem: { rootdirectory: \(folder)/blobs } }
            http: { addr: "\(address)" }

            """
        if let user {
            // By a file and not by a word of the command: other tests look for passwords in those.
            try Data(user.password.utf8).write(to: URL(filePath: folder + "/password"))
            try Command.run(
                "sh", "-c", "htpasswd -Bic \(folder)/users \(user.name) <\(folder)/password 2>/dev/null")
            configuration += "auth: { htpasswd: { realm: test, path: \(folder)/users } }\n"
            let pair = Data("\(user.name):\(user.password)".utf8).base64EncodedString()
            try Data(#"{"auths":{"\#(address)":{"auth":"\#(pair)"}}}"#.utf8)
                .write(to: URL(filePath: folder + "/auth.json"))
        } else {
            try Data(#"{"auths":{}}"#.utf8).write(to: URL(filePath: folder + "/auth.json"))
        }
        try Data(configuration.utf8).write(to: URL(filePath: folder + "/config.yml"))
        process = Mutex(
            try Command.start("docker-registry", "serve", folder + "/config.yml", output: folder + "/log"))
        let listens = try await eventually { Self.accepts(port) }
        guard listens else { throw Command.Failure(line: "docker-registry serve") }
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Ends it; what asks it from then on finds nobody. May be called again.
    public func stop() {
        process.withLock { process in
            guard let running = process else { return }
            kill(running, SIGKILL)
            waitpid(running, nil, 0)
            process = nil
        }
    }

    /// Pushes an image of an OCI layout, under its own user.
    public func push(_ layout: String, as name: String) throws {
        try Command.run(
            "skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--authfile", folder + "/auth.json",
            "oci:\(layout)", "docker://\(address)/\(name)")
    }

    /// Takes the layers away and leaves the manifests, as a registry does whose owner never had the layers.
    public func loseLayers() throws {
        let blobs = folder + "/blobs/docker/registry/v2/blobs/sha256"
        for name in try FileManager.default.subpathsOfDirectory(atPath: blobs) where name.hasSuffix("/data") {
            let blob = blobs + "/" + name
            // gzip's magic number.
            if try Data(contentsOf: URL(filePath: blob)).starts(with: [0x1f, 0x8b]) {
                try FileManager.default.removeItem(atPath: blob)
            }
        }
    }

    private static func freePort() -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        listen(descriptor, 1)
        // As bytes: which C module owns sockaddr_in depends on what was compiled first.
        var name = [UInt8](repeating: 0, count: 16)
        var length = socklen_t(name.count)
        _ = name.withUnsafeMutableBytes {
            getsockname(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        return UInt16(name[2]) << 8 | UInt16(name[3])
    }

    private static func accepts(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        let address = SocketAddressBytes("127.0.0.1", port)
        return address.with { connect(descriptor, $0, $1) } == 0
    }
}

extension Command {
    /// Starts a program that goes on; its process id.
    static func start(_ line: String..., output: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var arguments = line.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var process: pid_t = 0
        guard posix_spawnp(&process, line[0], &actions, nil, &arguments, environ) == 0 else {
            throw Failure(line: line.joined(separator: " "))
        }
        return process
    }
}
