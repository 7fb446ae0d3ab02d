import DNSFilter
import Egress
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy

// One rule patched into a policy of many names and blocks, until the kernel enforces it and the file has it, beside the
// `nft` command that would add one element. Run as root: swift run -c release benchmark-patch [names [blocks [operator's]]]

let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let names = numbers.first ?? 4095, blocks = numbers.count > 1 ? numbers[1] : 0
let operators = numbers.count > 2 ? numbers[2] : 0
let rounds = 200
let folder = "/tmp/sallyport-benchmark-patch-\(getpid())"
var logger = Logger(label: "benchmark")
logger.logLevel = .error
let namespace = try NetworkNamespace.create(named: "sp-benchmark-\(getpid())")
// Of its own: nft(8) reads what is there before it adds, and is not to read the guard's sets.
let peers = try NetworkNamespace.create(named: "sp-peer-\(getpid())")
var configuration = EgressConfiguration(
    stateDirectory: folder + "/egress", socketPath: folder + "/policy.sock", dns: DNSConfiguration(upstreams: []),
    maxRules: .max)
configuration.resolverBlock.overHTTPS = .targets(
    try (0..<operators).map { try Target("resolver-\($0).operator.example") })

func milliseconds(_ body: () async throws -> Void) async rethrows -> Double {
    let start = ContinuousClock.now
    try await body()
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    return Double(seconds) * 1000 + Double(attoseconds) / 1e15
}

func processorMilliseconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
    return Double(seconds) * 1000 + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000
}

func nft(_ line: String) {
    var process: pid_t = 0
    let words: [String] = ["nsenter", "--net=\(peers.path)", "nft", line]
    var arguments = words.map { strdup($0) } + [nil]
    defer { arguments.forEach { free($0) } }
    guard posix_spawnp(&process, "nsenter", nil, nil, &arguments, environ) == 0 else { fatalError("nsenter") }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    precondition(status == 0, line)
}

/// Blocks that lie apart from each other, so that the kernel has one element for each.
func block(_ number: Int) -> String { "\(11 + number / 32768).\(number / 128 % 256).\(number % 128 * 2).0/24" }

func say(_ what: String, _ times: [Double]) {
    defer { fflush(nil) }
    let times = times.sorted()
    let name = what.padding(toLength: 38, withPad: " ", startingAt: 0)
    print(String(format: "%@ p50 %8.2f ms   p99 %8.2f ms", name, times[times.count / 2], times[times.count * 99 / 100]))
}

nft("add table inet peer; add set inet peer names { type ipv4_addr; }")
print(
    "\(ProcessInfo.processInfo.activeProcessorCount) cores, \(names) names, \(blocks) blocks, \(rounds) of each in turn"
)
let rules =
    try (0..<names).map { try Rule(action: .allow, text: "host-\($0).service.example.com") }
    + (0..<blocks).map { try Rule(action: .allow, text: block($0)) }
var node = try await EgressNode(configuration: configuration, logger: logger)
say(
    "protect",
    [
        try await milliseconds {
            try await node.protect("patched", namespace: namespace, policy: Policy(defaultAction: .deny, rules: rules))
        }
    ])

/// Patches in turn with the peer.
func measure(_ what: String, _ rule: (Int) throws -> Rule) async throws {
    var ours: [Double] = [], peer: [Double] = [], spent = 0.0
    for round in 0..<rounds {
        let rule = try rule(round), before = processorMilliseconds()
        ours.append(try await milliseconds { try await node.patch("patched", [rule]) })
        spent += processorMilliseconds() - before
        peer.append(await milliseconds { nft("add element inet peer names { 198.51.100.\(round % 250 + 1) }") })
    }
    say(what, ours)
    say("  nft add element", peer)
    print(
        String(
            format: "  ratio %.2f; %.2f ms of processor time a PATCH",
            ours.sorted()[rounds / 2] / peer.sorted()[rounds / 2],
            spent / Double(rounds)))
}

try await measure("PATCH of a name") {
    try Rule(action: $0 % 2 == 0 ? .deny : .allow, text: "host-7.service.example.com")
}
try await measure("PATCH of a new name") { try Rule(action: .allow, text: "new-\($0).example.com") }
try await measure("PATCH of a block") {
    try Rule(action: $0 % 2 == 0 ? .deny : .allow, text: blocks > 0 ? block(7) : "198.51.100.0/24")
}
await node.shutdown()
say(
    "start with what is on the disk",
    [
        try await milliseconds {
            node = try await EgressNode(configuration: configuration, logger: logger)
        }
    ])
let found = try await node.status("patched").policy.ruleCount
precondition(found >= names + blocks)
await node.shutdown()
try namespace.delete()
try peers.delete()
try? FileManager.default.removeItem(atPath: folder)
