#if canImport(Glibc)
    import Glibc
#endif

/// How sandboxes run under gVisor: runsc, whose kernel is a program of this machine's (docs/isolation.md#gvisor).
package struct GVisorConfiguration: Hashable, Sendable {
    /// nil for `runsc` on the usual path.
    package var program: String?
    /// What gives it control over its processes, such as `ptrace`, `systrap` or `kvm`; nil for its own choice.
    package var platform: String?
    /// What a Docker engine calls it; nil for `runsc`.
    package var engineName: String?

    package init(program: String? = nil, platform: String? = nil, engineName: String? = nil) {
        (self.program, self.platform, self.engineName) = (program, platform, engineName)
    }
}

extension OCIRuntime {
    /// - Throws: `RuntimeError.missingTool` if there is no runsc.
    static func gVisor(_ configuration: GVisorConfiguration) throws(RuntimeError) -> OCIRuntime {
        guard let executable = configuration.program ?? path("runsc") else {
            throw .missingTool("runsc", package: "runsc")
        }
        guard access(executable, X_OK) == 0 else {
            throw .system(action: "starting \(executable)", reason: String(cString: strerror(errno)))
        }
        // The network of the namespace that it starts in, which is the sandbox's: so its guard sees every packet.
        let options = ["--network=host"] + (configuration.platform.map { ["--platform=\($0)"] } ?? [])
        return OCIRuntime(kind: .gVisor, executable: executable, options: options)
    }
}

extension BundleConfiguration {
    /// What gVisor's kernel has of its own in each sandbox, or does not know.
    private static let ownMounts: Set = ["/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/sys/fs/cgroup"]
    /// What execd is told of control groups: gVisor shows none, and its processes are none of the machine's.
    private static let groupOptions: Set = ["--own-group", "--command-group"]

    /// As runsc takes it.
    var forGVisor: BundleConfiguration {
        var bundle = self
        bundle.mounts.removeAll { Self.ownMounts.contains($0.destination) }
        var arguments: [String] = []
        var rest = process.args[...]
        // Options come in pairs until the program's own words, which are left as they are.
        while let word = rest.popFirst() {
            if Self.groupOptions.contains(word) { rest = rest.dropFirst() } else { arguments.append(word) }
            if word == "--" { break }
        }
        bundle.process.args = arguments + rest
        bundle.linux.maskedPaths = []
        bundle.linux.readonlyPaths = []
        bundle.annotations = [:]
        return bundle
    }
}
