import TestSupport
import Testing

@testable import Execd

@Suite struct PrometheusTests {
    @Test func `the network's use is read from what the kernel tells`() {
        let interfaces = """
            Inter-|   Receive                                                |  Transmit
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
                lo:  900       1    0    0    0     0          0         0  900       1    0    0    0     0       0          0
              eth0: 1000       2    0    0    0     0          0         0 2000       3    0    0    0     0       0          0
            eth1:5 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0
            broken: 1 2
            """
        let use = NetworkUse(
            interfaces: interfaces,
            sockets: ["sockets: used 9\nTCP: inuse 3 orphan 0\nUDP: inuse 1 mem 2\n", "TCP6: inuse 2\nUDP6: inuse x\n"])
        #expect(use.received == 1005 && use.sent == 2007 && use.tcp == 5 && use.udp == 1)
        #expect(NetworkUse(interfaces: "", sockets: []) == NetworkUse(interfaces: "a\nb\nc: 1", sockets: ["TCP:"]))
    }

    @Test func `metrics are told as Prometheus reads them`() async throws {
        try await LiveExecd.run { execd async throws in
            _ = try await execd.events(#"{"command":"true"}"#)
            let answer = try await execd.ask("GET", "/metrics/prometheus")
            #expect(answer.status == 200 && answer.header("content-type") == "text/plain; version=0.0.4")
            let lines = answer.body.split(separator: "\n")
            #expect(lines.contains("execd_commands_started_total 1") && lines.contains("execd_commands_running 0"))
            for line in lines where !line.hasPrefix("#") {
                let name = line.prefix { $0 != " " && $0 != "{" }
                #expect(lines.contains { $0.hasPrefix("# TYPE \(name) ") }, "\(line)")
                #expect(Double(line.split(separator: " ").last ?? "") != nil, "\(line)")
            }
            for name in ["execd_system_cpu_usage_ratio", "execd_system_memory_usage_bytes", "execd_system_processes"] {
                #expect(lines.contains { $0.hasPrefix(name + " ") }, "\(name)")
            }
        }
    }
}
