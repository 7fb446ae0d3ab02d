import System

/// execd's metrics as Prometheus' text (exposition format 0.0.4): the reference's names by Prometheus' conventions.
struct PrometheusMetrics: Hashable, Sendable {
    private(set) var text = ""

    init(_ system: SystemMetrics, _ network: NetworkUse, processes: Int, commands: CommandCounts) {
        add("execd_system_cpus", "gauge", "Processors that the sandbox may use.", Double(system.cpu_count))
        add("execd_system_cpu_usage_ratio", "gauge", "Part of them in use.", system.cpu_used_pct / 100)
        add("execd_system_memory_limit_bytes", "gauge", "Memory of the sandbox.", system.mem_total_mib * 1_048_576)
        add("execd_system_memory_usage_bytes", "gauge", "Memory in use.", system.mem_used_mib * 1_048_576)
        add("execd_system_processes", "gauge", "Processes that execd sees.", Double(processes))
        add(
            "execd_system_network_io_bytes_total", "counter", "Bytes through interfaces other than loopback.",
            [(#"direction="in""#, network.received), (#"direction="out""#, network.sent)])
        add(
            "execd_system_network_connections_active", "gauge", "Sockets in use.",
            [(#"protocol="tcp""#, network.tcp), (#"protocol="udp""#, network.udp)])
        add("execd_commands_running", "gauge", "Commands, runs and shells of terminals.", Double(commands.running))
        add("execd_commands_started_total", "counter", "The same since execd's start.", Double(commands.started))
    }

    private mutating func add(_ name: String, _ kind: String, _ help: String, _ value: Double) {
        add(name, kind, help, [("", value)])
    }

    private mutating func add(_ name: String, _ kind: String, _ help: String, _ values: [(labels: String, Double)]) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
        for (labels, value) in values where value.isFinite {
            let number = Int64(exactly: value).map { String($0) } ?? String(value)
            text += name + (labels.isEmpty ? "" : "{\(labels)}") + " \(number)\n"
        }
    }
}

/// How many commands there are.
struct CommandCounts: Hashable, Sendable {
    var running = 0
    var started = 0
}

/// What passes through the sandbox's network, as /proc/net tells it.
struct NetworkUse: Hashable, Sendable {
    /// Bytes since the interfaces were made.
    var received = 0.0
    var sent = 0.0
    /// Sockets.
    var tcp = 0.0
    var udp = 0.0

    static func current() -> NetworkUse {
        NetworkUse(
            interfaces: File.text("/proc/net/dev") ?? "",
            sockets: ["sockstat", "sockstat6"].compactMap { File.text("/proc/net/\($0)") })
    }

    /// - Parameters:
    ///   - interfaces: /proc/net/dev: two lines of headers, then `name: received … sent …`, eight numbers each.
    ///   - sockets: /proc/net/sockstat: lines `TCP: inuse 5 …`, and `TCP6:` in the other file.
    init(interfaces: String, sockets: [String]) {
        for line in interfaces.split(separator: "\n").dropFirst(2) {
            let sides = line.split(separator: ":", maxSplits: 1)
            let numbers = sides.last?.split(separator: " ").map { Double($0) ?? 0 } ?? []
            guard sides.count == 2, numbers.count >= 9, sides[0].drop(while: { $0 == " " }) != "lo" else { continue }
            received += numbers[0]
            sent += numbers[8]
        }
        for line in sockets.flatMap({ $0.split(separator: "\n") }) {
            let words = line.split(separator: " ")
            guard words.count >= 3, words[1] == "inuse", let count = Double(words[2]) else { continue }
            if words[0] == "TCP:" || words[0] == "TCP6:" { tcp += count }
            if words[0] == "UDP:" || words[0] == "UDP6:" { udp += count }
        }
    }
}
