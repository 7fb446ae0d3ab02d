import Runtimes
import SafeText

/// What diagnostics say for people, line by line (docs/wire.md#diagnostics). No secret is in a record, so none is in here: of
/// labels, the values of names that look like a secret's are left out.
enum DiagnosticsText {
    /// The past states, oldest first.
    /// - Parameter since: nil for all.
    static func events(_ sandbox: Sandbox, since: Timestamp? = nil) -> [String] {
        // The last one's message may have been set later.
        (sandbox.history.dropLast() + [sandbox.status]).filter { status in since.map { status.since >= $0 } ?? true }
            .map { status in
                "\(status.since) \(status.state.rawValue) \(status.reason)"
                    + (status.message.isEmpty ? "" : ": \(status.message)")
            }
    }

    /// Labels and values in the reference's columns, and what else is known here.
    static func inspect(_ sandbox: Sandbox, isolation: String, leftovers: [String]) -> [String] {
        let status = sandbox.status
        let isPaused = status.state == .paused
        let started = sandbox.history.first { $0.state == .running }?.since
        let hasEnded = [.terminated, .failed].contains(status.state)
        var lines = [
            line("Container ID", String(sandbox.id.filter { $0 != "-" }.prefix(12))),
            line("Name", "sandbox-\(sandbox.id)"),
            line("Image", ForeignText.escaped(sandbox.image)), line("Status", word(status)),
            line("Running", flag(isPaused || status.state == .running)), line("Paused", flag(isPaused)),
            line("OOMKilled", flag(status.reason == StatusReason.outOfMemory)),
            line("Exit Code", "\(status.exitCode ?? 0)"), line("Started At", started.map { "\($0)" } ?? never),
            line("Finished At", hasEnded ? "\(status.since)" : never),
        ]
        if hasEnded, !status.message.isEmpty { lines.append(line("Error", status.message)) }
        if !isolation.isEmpty { lines.append(line("Isolation", isolation)) }
        lines += section("Resources", resources(sandbox.limits))
        if let network = sandbox.network {
            lines += section(
                "Network",
                ["routed: \(network.address)"] + (network.addressV6.map { ["routed: \($0)"] } ?? [])
                    + (network.hostPorts ?? []).map { "published: \($0.port)/tcp at \($0.at)" })
        }
        lines += section(
            "Labels",
            sandbox.metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\(isSecret($0.key) ? "***" : $0.value)" })
        return lines + section("Not removed yet", leftovers)
    }

    static func summary(_ id: String, inspect: [String], events: [String], output: [String], tail: Int) -> [String] {
        func block(_ title: String, _ lines: [String]) -> [String] {
            let rule = String(repeating: "-", count: 40)
            return ["", rule, title, rule] + lines
        }
        let rule = String(repeating: "=", count: 72)
        return [rule, "SANDBOX DIAGNOSTICS SUMMARY", "Sandbox ID: \(id)", rule]
            + block("INSPECT", inspect) + block("EVENTS", events) + block("LOGS (last \(tail) lines)", output) + [""]
    }

    /// What an engine writes for a time that has not come.
    private static let never = "0001-01-01T00:00:00Z"

    private static func line(_ label: String, _ value: String) -> String {
        label + ":" + String(repeating: " ", count: max(1, 15 - label.utf8.count)) + value
    }

    private static func section(_ title: String, _ lines: [String]) -> [String] {
        lines.isEmpty ? [] : ["", "\(title):"] + lines.map { "  " + $0 }
    }

    private static func flag(_ flag: Bool) -> String { flag ? "True" : "False" }

    /// An engine's word for a state.
    private static func word(_ status: SandboxStatus) -> String {
        switch status.state {
        case .pending: "created"
        case .running, .pausing, .resuming: "running"
        case .paused: "paused"
        case .stopping: "removing"
        case .terminated: "exited"
        case .failed: status.exitCode == nil ? "dead" : "exited"
        }
    }

    private static func resources(_ limits: ResourceLimits?) -> [String] {
        guard let limits else { return [] }
        var lines: [String] = []
        func add(_ label: String, _ value: String) {
            lines.append(label + ":" + String(repeating: " ", count: 13 - label.utf8.count) + value)
        }
        if let millis = limits.cpuMillis {
            let hundredths = (millis + 5) / 10
            add("CPU", "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) cores")
        }
        if let bytes = limits.memoryBytes { add("Memory", "\(bytes >> 20) MiB") }
        add("PIDs Limit", "\(limits.processes)")
        if let bytes = limits.diskBytes { add("Disk", "\(bytes >> 20) MiB") }
        return lines
    }

    private static func isSecret(_ name: String) -> Bool {
        ["secret", "token", "password", "key"].contains { name.lowercased().contains($0) }
    }
}
