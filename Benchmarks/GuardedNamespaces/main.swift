import Addresses
import DNSFilter
import Egress
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy

// What it costs one process to guard many namespaces, each with a link as the local runtime makes it. Run as root:
// swift run -c release benchmark-scale [1 100 1000]

let wanted = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let steps = wanted.isEmpty ? [1, 100, 1000] : wanted.sorted()
let tag = "sps\(getpid() % 10000)"
let folder = "/tmp/sallyport-benchmark-scale-\(getpid())"
var logger = Logger(label: "benchmark")
logger.logLevel = .error

struct Cost {
    /// KiB.
    var privateMemory = 0, resident = 0
    var descriptors = 0, threads = 0

    static func now() -> Cost {
        var cost = Cost()
        for line in text("/proc/self/smaps_rollup").split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count > 1, let number = Int(words[1]) else { continue }
            if words[0].hasPrefix("Private_") { cost.privateMemory += number }
            if words[0] == "Rss:" { cost.resident = number }
        }
        cost.descriptors = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
        cost.threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count) ?? 0
        return cost
    }

    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 14)
        return String(decoding: bytes[..<fread(&bytes, 1, bytes.count, file)], as: UTF8.self)
    }
}

/// A veth into the namespace, with an address and a default route.
func makeNamespace(_ number: Int, _ routes: RouteSocket) throws -> NetworkNamespace {
    let namespace = try NetworkNamespace.create(named: "\(tag)-\(number)")
    let bytes = [UInt8(number >> 8), UInt8(number & 0xff)]
    try routes.addVirtualPair(
        "\(tag)h\(number)", address: [2, 0, 1, 0] + bytes, peer: "eth0", peerAddress: [2, 0, 2, 0] + bytes,
        peerNamespace: namespace)
    try routes.setUp("\(tag)h\(number)")
    try namespace.run {
        let inside = try RouteSocket()
        try inside.setUp("eth0")
        let link = try inside.index(of: "eth0"), gateway = IPAddress("169.254.1.1")!
        try inside.addAddress(IPAddress("100.96.\(number >> 8).\(number & 0xff)")!, prefixLength: 32, link: link)
        try inside.addRoute(to: CIDRBlock("0.0.0.0/0")!, link: link, via: gateway)
    }
    return namespace
}

let policy = Policy(
    defaultAction: .deny,
    rules: try ["pypi.org", "*.pythonhosted.org", "github.com", "*.githubusercontent.com", "198.51.100.0/24"].map {
        try Rule(action: .allow, text: $0)
    })
let node = try await EgressNode(
    configuration: EgressConfiguration(
        stateDirectory: folder + "/egress", socketPath: folder + "/policy.sock", dns: DNSConfiguration(upstreams: [])),
    logger: logger)
let routes = try RouteSocket()
var namespaces: [NetworkNamespace] = []
let base = Cost.now()
var failure: (any Error)?
print("\(ProcessInfo.processInfo.activeProcessorCount) cores; before the first: \(base)")
do {
    for step in steps {
        var times: [Double] = []
        while namespaces.count < step {
            let number = namespaces.count
            namespaces.append(try makeNamespace(number, routes))
            let start = ContinuousClock.now
            try await node.protect("sandbox-\(number)", namespace: namespaces[number], policy: policy)
            times.append(Double((ContinuousClock.now - start).components.attoseconds) / 1e15)
        }
        times.sort()
        let cost = Cost.now()
        let each = { (total: Int, base: Int) in Double(total - base) / Double(step) }
        print(
            String(
                format:
                    "%5d guarded: %6.1f KiB private, %6.1f KiB resident, %.1f descriptors each; %d threads; protect p50 %.1f ms, p99 %.1f ms",
                step, each(cost.privateMemory, base.privateMemory), each(cost.resident, base.resident),
                each(cost.descriptors, base.descriptors), cost.threads, times[times.count / 2],
                times[times.count * 99 / 100]))
    }
} catch { failure = error }
await node.shutdown()
for number in namespaces.indices {
    try? routes.deleteLink("\(tag)h\(number)")
    try? namespaces[number].delete()
}
try? FileManager.default.removeItem(atPath: folder)
if let failure { throw failure }
