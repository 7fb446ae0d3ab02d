import Addresses
import DNSFilter
import Egress
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy
import Synchronization
import TestSupport

// How long one sandbox's names wait while the policy of another is changed that asks for names itself, and that names have
// taught as many addresses as there is room for: each is judged anew. Both are answered by one thread. Run as root:
// swift run -c release benchmark-names [addresses]

let wanted = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 65_000
/// So many fit into one answer over UDP.
let each = 70, count = (wanted + each - 1) / each
let folder = "/tmp/sallyport-benchmark-names-\(getpid())"
var logger = Logger(label: "benchmark")
logger.logLevel = .error

var table = ["other.example": ["198.51.100.1"]]
for number in 0..<count {
    table["host-\(number).example"] = (0..<each).map { index in
        let address = number * each + index
        return "203.\(address >> 16).\(address >> 8 & 0xff).\(address & 0xff)"
    }
}
let upstream = UpstreamServer(table)
let node = try await EgressNode(
    configuration: EgressConfiguration(
        stateDirectory: folder + "/egress", socketPath: folder + "/policy.sock",
        dns: DNSConfiguration(upstreams: [UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port)])),
    logger: logger)
let networks = [try TestNetwork(), try TestNetwork()]
let open = Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "*.example")])
for (id, network) in zip(["changed", "other"], networks) {
    try await node.protect(id, namespace: network.sandbox, policy: open)
}
for number in 0..<count { _ = try DNSMessages.resolve("host-\(number).example", from: networks[0].sandbox) }

/// Asks for one name again and again; each answer comes from the cache.
final class Asker: Sendable {
    private let descriptor: CInt
    private let isAsking = Mutex(true)
    private let waits = Mutex<[Double]>([])

    init(_ name: String, from namespace: NetworkNamespace) throws {
        descriptor = try Probe.open(Int32(SOCK_DGRAM.rawValue), to: "198.51.100.53", port: 53, from: namespace).0
        Thread.detachNewThread { [self] in
            let query = DNSMessages.query(name, type: DNSMessages.a)
            var buffer = [UInt8](repeating: 0, count: 512)
            while isAsking.withLock({ $0 }) {
                let start = ContinuousClock.now
                _ = send(descriptor, query, query.count, 0)
                guard recv(descriptor, &buffer, buffer.count, 0) > 0 else { continue }
                let (seconds, attoseconds) = (ContinuousClock.now - start).components
                waits.withLock { $0.append(Double(seconds) * 1e3 + Double(attoseconds) / 1e15) }
                usleep(200)
            }
        }
    }

    /// Milliseconds, since it was last asked.
    func take() -> [Double] {
        waits.withLock { waits in
            defer { waits = [] }
            return waits.sorted()
        }
    }

    func end() { isAsking.withLock { $0 = false } }
}

let asker = try Asker("other.example", from: networks[1].sandbox)
let changed = try Asker("host-0.example", from: networks[0].sandbox)
func say(_ what: String, _ took: Double) {
    let waits = asker.take()
    guard let longest = waits.last else { return print("  \(what): nothing was answered") }
    print(
        "  " + what.padding(toLength: 34, withPad: " ", startingAt: 0)
            + String(
                format: "%7.1f ms; the other's names: %6d answers, p50 %.3f ms, longest %7.1f ms", took, waits.count,
                waits[waits.count / 2], longest))
}
func milliseconds(_ body: () async throws -> Void) async rethrows -> Double {
    let start = ContinuousClock.now
    try await body()
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    return Double(seconds) * 1e3 + Double(attoseconds) / 1e15
}

print("\(ProcessInfo.processInfo.activeProcessorCount) cores, \(count * each) learned addresses of \(count) names")
_ = asker.take()
say("nothing", await milliseconds { try? await Task.sleep(for: .milliseconds(500)) })
let ported = try Rule(action: .allow, text: "*.example", scope: TrafficScope(ports: [443...443]))
for (what, rule) in [("PUT, all stay with another profile", ported), ("PUT, all stay", open.rules[0])] {
    say(
        what,
        try await milliseconds { try await node.replace("changed", with: Policy(defaultAction: .deny, rules: [rule])) })
}
let denied = try Rule(action: .deny, text: "*.example")
say("PATCH, all go", try await milliseconds { try await node.patch("changed", [denied]) })
asker.end()
changed.end()
await node.shutdown()
for network in networks {
    try network.sandbox.delete()
    try network.outside.delete()
}
try? FileManager.default.removeItem(atPath: folder)
