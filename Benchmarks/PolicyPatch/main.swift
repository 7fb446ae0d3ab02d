import DNSFilter
import Egress
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy

// One rule patched into a policy of many names, until the kernel enforces it and the file has it, beside the `nft` command
// that would add one element. Run as root: swift run -c release benchmark-patch [names]

let names = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 4095
let rounds = 200
let folder = "/tmp/sallyport-benchmark-patch-\(getpid())"
var logger = Logger(label: "benchmark")
logger.logLevel = .error
let namespace = try NetworkNamespace.create(named: "sp-benchmark-\(getpid())")
let node = try await EgressNode(
    configuration: EgressConfiguration(
        stateDirectory: folder + "/egress", socketPath: folder + "/policy.sock", dns: DNSConfiguration(upstreams: [])),
    logger: logger)
let rules = try (0..<names).map { try Rule(action: .allow, text: "host-\($0).service.example.com") }
try await node.protect("patched", namespace: namespace, policy: Policy(defaultAction: .deny, rules: rules))

func milliseconds(_ body: () async throws -> Void) async rethrows -> Double {
    let start = ContinuousClock.now
    try await body()
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    return Double(seconds) * 1000 + Double(attoseconds) / 1e15
}

func nft(_ line: String) {
    var process: pid_t = 0
    let words: [String] = ["nsenter", "--net=\(namespace.path)", "nft", line]
    var arguments = words.map { strdup($0) } + [nil]
    defer { arguments.forEach { free($0) } }
    guard posix_spawnp(&process, "nsenter", nil, nil, &arguments, environ) == 0 else { fatalError("nsenter") }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    precondition(status == 0, line)
}

nft("add table inet peer; add set inet peer names { type ipv4_addr; }")
var ours: [Double] = [], peer: [Double] = []
for round in 0..<rounds {
    let action: Action = round % 2 == 0 ? .deny : .allow
    let rule = try Rule(action: action, text: "host-7.service.example.com")
    ours.append(try await milliseconds { try await node.patch("patched", [rule]) })
    peer.append(await milliseconds { nft("add element inet peer names { 198.51.100.\(round % 250 + 1) }") })
}
ours.sort()
peer.sort()
print("\(ProcessInfo.processInfo.activeProcessorCount) cores, \(rounds) of each in turn")
print(String(format: "PATCH of one rule on %d names    p50 %6.2f ms   p99 %6.2f ms", names, ours[100], ours[197]))
print(String(format: "  nft add element               p50 %6.2f ms   p99 %6.2f ms", peer[100], peer[197]))
print(String(format: "  ratio %.2f", ours[100] / peer[100]))
await node.shutdown()
try namespace.delete()
try? FileManager.default.removeItem(atPath: folder)
