import Addresses
import Glibc
import Netfilter
import NetworkPolicy
import Synchronization
import TestSupport

/// The built program in a sandbox's namespace, as a container engine would start it.
final class RunningSidecar: Sendable {
    struct Failure: Error { var what: String }

    static let apiPort: UInt16 = 18080
    static let token = "token-of-the-test"
    static let upstreamAddress = "198.51.100.3"

    let network: TestNetwork
    let echo: EchoServer
    let upstream: UpstreamServer
    let folder: String
    private let process = Mutex<pid_t?>(nil)

    init() throws {
        network = try TestNetwork()
        echo = try EchoServer(in: network.outside)
        upstream = try network.outside.run {
            UpstreamServer(GuardedNetwork.names, address: Self.upstreamAddress, port: 53)
        }
        folder = "/tmp/spt-sidecar-\(UInt32.random(in: .min ... .max))"
        mkdir(folder, 0o700)
        mkdir(folder + "/rules", 0o700)
    }

    deinit {
        kill()
        try? Command.run("rm", "-rf", folder)
    }

    /// Starts it; may be called again after it has ended.
    @discardableResult
    func start(
        _ variables: [String: String] = [:], others: [String: String] = [:], through wrapper: [String] = []
    ) throws -> pid_t {
        var environment = [
            "DNS_UPSTREAM": Self.upstreamAddress, "TOKEN": Self.token, "RULES_DIR": folder + "/rules",
            "POLICY_FILE": folder + "/policy.json", "LOG_LEVEL": "critical",
        ]
        environment.merge(variables) { $1 }
        let line: [String] = ["nsenter", "--net=" + network.sandbox.path] + wrapper + [Self.program]
        var variables = environment.map { strdup("OPENSANDBOX_EGRESS_\($0.key)=\($0.value)") }
        variables += others.map { strdup("\($0.key)=\($0.value)") }
        var arguments = line.map { strdup($0) }
        variables.append(nil)
        arguments.append(nil)
        defer { (variables + arguments).forEach { free($0) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 2, folder + "/log", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var started: pid_t = 0
        guard posix_spawn(&started, "/usr/bin/nsenter", &actions, nil, &arguments, &variables) == 0 else {
            throw Failure(what: Self.program)
        }
        let identifier = started
        process.withLock { $0 = identifier }
        return identifier
    }

    /// Starts it and waits until it serves.
    func serve(_ variables: [String: String] = [:], others: [String: String] = [:]) async throws {
        try start(variables, others: others)
        let serves = try await eventually {
            guard !self.hasEnded else { throw Failure(what: "sallyport-egress ended: \(self.log)") }
            return try self.call("GET", "/healthz", token: nil).status == 200
        }
        guard serves else { throw Failure(what: "sallyport-egress: \(log)") }
    }

    /// Ends it with a signal; its exit status, or the signal's number below zero.
    @discardableResult
    func end(_ number: Int32) -> Int32? {
        process.withLock { $0.map { _ = Glibc.kill($0, number) } }
        return wait()
    }

    func kill() { end(SIGKILL) }

    /// Whether it has ended by itself; its status is still there to be waited for.
    private var hasEnded: Bool {
        process.withLock { process in
            guard let process else { return true }
            var information = siginfo_t()
            return waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT) == 0
                && information.si_signo == SIGCHLD
        }
    }

    func wait() -> Int32? {
        process.withLock { process in
            guard let running = process else { return nil }
            var status: Int32 = 0
            while waitpid(running, &status, 0) < 0 && errno == EINTR {}
            process = nil
            return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
        }
    }

    var log: String {
        String(decoding: (try? Self.contents(folder + "/log")) ?? [], as: UTF8.self)
    }

    /// Beside the test's own program in the build folder.
    static let program: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/sallyport-egress"
    }()

    static func contents(_ path: String) throws -> [UInt8] {
        guard let file = fopen(path, "re") else { throw Failure(what: path) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return bytes }
            bytes += chunk[..<count]
        }
    }

    static func names(in folder: String) -> [String]? {
        guard let stream = opendir(folder) else { return nil }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    func write(_ text: String, to name: String) throws {
        guard let file = fopen(folder + "/" + name, "we") else { throw Failure(what: name) }
        fputs(text, file)
        fclose(file)
    }
}

/// What its clients outside, and the sandbox inside, see.
extension RunningSidecar {
    struct Answer: Sendable {
        var status: Int
        var text: String
    }

    /// A request from outside; status 0 when nobody answers.
    func call(
        _ method: String, _ path: String, _ body: String = "", token: String? = RunningSidecar.token,
        to address: String = TestNetwork.sandboxAddress, from namespace: NetworkNamespace? = nil
    ) throws -> Answer {
        let (descriptor, error) = try Probe.open(
            Int32(SOCK_STREAM.rawValue), to: address, port: Self.apiPort, from: namespace ?? network.outside)
        defer { close(descriptor) }
        guard error == 0 else { return Answer(status: 0, text: String(cString: strerror(error))) }
        var request =
            "\(method) \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n"
        if let token { request += "OPENSANDBOX-EGRESS-AUTH: \(token)\r\n" }
        let bytes = Array((request + "\r\n" + body).utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            return Answer(status: 0, text: "not sent")
        }
        var received: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count <= 0 { break }
            received += chunk[..<count]
        }
        let text = String(decoding: received, as: UTF8.self)
        let parts = text.split(separator: " ", maxSplits: 2)
        return Answer(status: parts.count > 1 ? Int(parts[1]) ?? 0 : 0, text: text)
    }

    func resolve(_ name: String, type: UInt16 = DNSMessages.a) throws -> [String] {
        try DNSMessages.resolve(name, type: type, from: network.sandbox).addresses.map(\.description)
    }
    func stream(_ address: String) throws -> Probe.Outcome { try Probe.stream(address, from: network.sandbox) }
}
