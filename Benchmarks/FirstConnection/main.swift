import Addresses
import DNSFilter
import Egress
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy
import TestSupport

// How much longer a sandbox's first connection to a name takes for being guarded: question, answer, rule, handshake, each
// time of another name with an address of its own. In turn with a sandbox that has no guard and asks its name server
// itself, and with one whose resolver opens each address by `nft -f -`. Run as root:
// swift run -c release benchmark-first-connection [rounds, at most 240 [names in the policy [blocks]]]

let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let rounds = min(numbers.first ?? 200, 240), names = max(numbers.dropFirst().first ?? 4096, rounds)
let blocks = (0..<(numbers.dropFirst(2).first ?? 0)).map { "\(11 + $0 / 32768).\($0 / 128 % 256).\($0 % 128 * 2).0/24" }
let folder = "/tmp/sallyport-benchmark-first-\(getpid())"
var logger = Logger(label: "benchmark")
logger.logLevel = .error

let table = Dictionary(uniqueKeysWithValues: (0..<rounds).map { ("host-\($0).example", ["198.51.100.\($0 + 1)"]) })
let upstream = UpstreamServer(table)
let rules =
    try (0..<names).map { try Rule(action: .allow, text: "host-\($0).example") }
    + blocks.map { try Rule(action: .allow, text: $0) }
let node = try await EgressNode(
    configuration: EgressConfiguration(
        stateDirectory: folder + "/egress", socketPath: folder + "/policy.sock",
        dns: DNSConfiguration(upstreams: [UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port)]),
        maxRules: .max), logger: logger)

let networks = [try TestNetwork(), try TestNetwork(), try TestNetwork()]
let servers = try networks.map { network in
    try network.outside.run { try Command.run("ip", "route", "add", "local", "198.51.100.0/24", "dev", "lo") }
    return try EchoServer(in: network.outside)
}
let open = try networks[0].outside.run { UpstreamServer(table, address: "198.51.100.253", port: 53) }
try await node.protect("b", namespace: networks[1].sandbox, policy: Policy(defaultAction: .deny, rules: rules))
let peer = try CommandResolver(in: networks[2].sandbox, upstream: upstream.port, blocks: blocks)
let contestants = zip(
    ["no guard", "guard", "nft -f -"], zip(networks, ["198.51.100.253", "198.51.100.253", "127.0.0.1"]))

var times: [String: [Double]] = [:]
for round in 0..<rounds {
    for (name, (network, resolver)) in contestants {
        let client = try FirstConnection(in: network.sandbox)
        times[name, default: []].append(client.milliseconds(to: "host-\(round).example", asking: resolver))
    }
}

@MainActor func quantile(_ name: String, _ part: Double) -> Double {
    let sorted = times[name]!.sorted()
    return sorted[min(Int(Double(sorted.count) * part), sorted.count - 1)]
}

print(
    "\(ProcessInfo.processInfo.activeProcessorCount) cores, \(rounds) first connections of each in turn, \(names) names, \(blocks.count) blocks"
)
for (name, _) in contestants {
    let added = quantile(name, 0.5) - quantile("no guard", 0.5)
    print(
        "  " + name.padding(toLength: 10, withPad: " ", startingAt: 0)
            + String(
                format: "p50 %6.3f ms   p99 %6.3f ms   added %6.3f ms", quantile(name, 0.5), quantile(name, 0.99), added
            ))
}
let base = quantile("no guard", 0.5)
print(
    String(
        format: "  added by nft -f - to added by the guard: %.0f",
        (quantile("nft -f -", 0.5) - base) / (quantile("guard", 0.5) - base)))
await node.shutdown()
for network in networks {
    try network.sandbox.delete()
    try network.outside.delete()
}
try? FileManager.default.removeItem(atPath: folder)
