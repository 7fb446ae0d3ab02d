import HTTPClient
import JSON
import SafeText

/// Why the engine did not do what it was asked. The text is the engine's, made safe, or ours.
struct EngineFailure: Error, Hashable, Sendable, CustomStringConvertible {
    enum Kind: Hashable, Sendable {
        /// There is no answer: it is not known whether the engine did it.
        case away
        /// The engine's status.
        case refused(Int)
        /// What it answers is not what its API says.
        case malformed
        case cancelled
    }

    let kind: Kind
    let description: String

    init(_ kind: Kind, _ description: String) { (self.kind, self.description) = (kind, description) }

    init(_ error: HTTPClientError, engine: String) {
        switch error {
        case .cancelled: self.init(.cancelled, "it was cancelled")
        case .tooLarge, .malformed: self.init(.malformed, "the engine at \(engine): \(error)")
        case .insecure(let reason):
            self.init(
                .away,
                "the engine at \(engine) has not proved who it is, or does not take this server's certificate (\(reason)): look at "
                    + "ca.pem, cert.pem and key.pem (docker.tls_dir, DOCKER_CERT_PATH)")
        // In TLS 1.3 a client has sent its request before its certificate is refused.
        case .interrupted(let reason) where engine.hasPrefix("https://"):
            self.init(
                .away,
                "the engine at \(engine) broke off (\(reason)): it may be ending, or not take this server's certificate: look at "
                    + "ca.pem, cert.pem and key.pem (docker.tls_dir, DOCKER_CERT_PATH)")
        default: self.init(.away, "the engine at \(engine) does not answer (\(error)): is dockerd running?")
        }
    }

    /// - Parameter body: `{"message": …}`; anything else is shown as it is.
    init(status: Int, body: [UInt8]) {
        let said = (try? JSONValue(body))?["message"]
        var text = String(decoding: body.prefix(4 * Self.maxText), as: UTF8.self)
        if case .string(let message) = said { text = message }
        self.init(
            .refused(status), text.isEmpty ? "status \(status)" : ForeignText.escaped(text, limit: Self.maxText))
    }

    private static let maxText = 500

    var status: Int? { if case .refused(let status) = kind { status } else { nil } }
    var isNotFound: Bool { status == 404 }

    /// Whether an engine says that its storage driver limits no disks, or not as its file system is mounted.
    var isOfDisks: Bool { description.lowercased().contains("storage-opt") }

    /// Whether the engine's disk is full, or another thing of which the kernel has so many.
    var isOfSpace: Bool { description.lowercased().contains("no space left on device") }

    /// Whether a number of the request is what the engine refuses: more processors than there are, too little memory, a disk
    /// smaller than the image, no such device.
    var isOfALimit: Bool {
        let text = description.lowercased()
        return [
            "range of cpus", "minimum memory limit", "memory limit should be", "memoryswap",
            "could not select device driver",
            "cpu cfs quota", "pids limit", "disk quota exceeded",
        ].contains { text.contains($0) }
    }
}

extension RuntimeError {
    /// - Parameter action: what was being done, such as "pausing it".
    init(_ failure: EngineFailure, _ action: String) {
        switch failure.kind {
        case .away: self = .unavailable("\(failure)")
        case .cancelled: self = .cancelled
        case .refused where failure.isOfSpace:
            self = .noCapacity(
                "the engine has no space left (\(action): \(failure)): delete sandboxes, images or volumes, or make room"
            )
        case .refused, .malformed: self = .system(action: action, reason: "\(failure)")
        }
    }
}
