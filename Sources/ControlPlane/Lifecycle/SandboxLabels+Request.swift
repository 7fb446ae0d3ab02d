import Runtimes

extension SandboxLabels {
    /// The contract's prefix of extensions that are a client's own, and of the labels that they become.
    private static let extensionPrefix = "opensandbox.extensions."
    /// An event of a container carries its labels in a line that is bounded: clients' extensions beyond so many bytes are in none.
    private static let maxExtensions = 8 << 10

    /// The labels of the contract that say what never changes. An engine changes no label of a container that is there, and an
    /// end may be moved: a server of the reference that met the first one would remove a sandbox that was renewed.
    init(_ request: CreateRequest, owner: String, id: String) {
        self.init(owner: owner, id: id, metadata: request.metadata)
        // Such a sandbox never gets an end.
        if request.timeout == nil { facts["manual-cleanup"] = "true" }
        if let platform = request.platform {
            facts["platform-os"] = platform.os
            facts["platform-arch"] = platform.arch
        }
        if let seconds = request.extensions[Sandbox.renewExtension] { facts["access-renew-extend-seconds"] = seconds }
        var own: [String: String] = [:]
        for (name, value) in request.extensions where name.hasPrefix(Self.extensionPrefix) {
            let suffix = String(name.dropFirst(Self.extensionPrefix.utf8.count))
            if MetadataLabel.problem(key: suffix, value: nil) == nil { own["extensions.\(suffix)"] = value }
        }
        guard own.reduce(0, { $0 + $1.key.utf8.count + $1.value.utf8.count }) <= Self.maxExtensions else { return }
        facts.merge(own) { fact, _ in fact }
    }
}
