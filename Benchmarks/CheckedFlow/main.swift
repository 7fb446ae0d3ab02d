import Addresses
import DNSFilter
import Egress
import FlowCheck
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy
import TestSupport

// One long flow through the check of names (mode dns+nft+sni), beside the same flow with no guard: bits a second, and
// processor time of client, server and guard together for a gigabyte. First over links of 1 and 5 Gbit/s, then over one
// that is as fast as the processors, which client, server, guard and both ends' kernels share. Run as root:
// swift run -c release benchmark-flow [megabytes] [rounds]

let arguments = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let most = arguments.first ?? 2048, rounds = arguments.dropFirst().first ?? 5
let folder = "/tmp/sallyport-benchmark-flow-\(getpid())"
var logger = Logger(label: "benchmark")
logger.logLevel = .error

let upstream = UpstreamServer(["one.example": ["198.51.100.1"]])
func makeNode(_ name: String, _ check: FlowCheckSettings?) async throws -> EgressNode {
    try await EgressNode(
        configuration: EgressConfiguration(
            stateDirectory: folder + "/" + name, socketPath: folder + "/\(name).sock",
            dns: DNSConfiguration(upstreams: [UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port)]),
            flowCheck: check), logger: logger)
}
mkdir(folder, 0o700)
let checking = try await makeNode("sni", FlowCheckSettings()), filtering = try await makeNode("nft", nil)
let policy = Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "one.example")])
let networks = [try TestNetwork(), try TestNetwork(), try TestNetwork()]
try await filtering.protect("b", namespace: networks[1].sandbox, policy: policy)
try await checking.protect("b", namespace: networks[2].sandbox, policy: policy)
for network in networks.dropFirst() {
    let found = try DNSMessages.resolve("one.example", from: network.sandbox)
    precondition(found.addresses.count == 1)
}
let servers = try networks.map { try StreamServer(in: $0.outside) }

struct Run {
    var gigabits: Double
    var processorSeconds: Double
}

/// Slows both ends of every link down to so many Gbit/s, or lets them go.
func limit(_ gigabits: Int?) throws {
    for network in networks {
        for (namespace, device) in [(network.sandbox, "eth0"), (network.outside, "host0")] {
            try namespace.run {
                guard let gigabits else { return try Command.run("tc", "qdisc", "del", "dev", device, "root") }
                // What passes between two ticks of the kernel's clock.
                try Command.run(
                    "tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", "\(gigabits)gbit",
                    "burst", "\(gigabits * 512)kb", "latency", "20ms")
            }
        }
    }
}

func measure(_ network: TestNetwork, megabytes: Int, isUpload: Bool) throws -> Run {
    let (descriptor, status) = try Probe.open(
        Int32(SOCK_STREAM.rawValue), to: "198.51.100.1", port: StreamServer.port, from: network.sandbox)
    defer { close(descriptor) }
    precondition(status == 0)
    let bytes = UInt64(megabytes) << 20
    try StreamServer.greet(descriptor, bytes: bytes, isUpload: isUpload)
    let before = Usage.processorSeconds, start = ContinuousClock.now
    if isUpload {
        StreamServer.send(bytes, on: descriptor)
        shutdown(descriptor, Int32(SHUT_WR))
        precondition(StreamServer.receive(on: descriptor) == 1, "the server has it all")
    } else {
        precondition(StreamServer.receive(on: descriptor) == bytes)
    }
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    let time = Double(seconds) + Double(attoseconds) / 1e18
    return Run(gigabits: Double(bytes) * 8 / time / 1e9, processorSeconds: Usage.processorSeconds - before)
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func compare(_ megabytes: Int) throws {
    for isUpload in [false, true] {
        var runs: [[Run]] = [[], [], []]
        for _ in 0..<rounds {
            for (index, network) in networks.enumerated() {
                runs[index].append(try measure(network, megabytes: megabytes, isUpload: isUpload))
            }
        }
        print(isUpload ? "  to the server" : "  from the server")
        let gigabytes = Double(megabytes) / 1024
        let plain = (median(runs[0].map(\.gigabits)), median(runs[0].map(\.processorSeconds)))
        for (name, runs) in zip(["no guard", "dns+nft", "dns+nft+sni"], runs) {
            let rate = median(runs.map(\.gigabits)), processor = median(runs.map(\.processorSeconds))
            print(
                "    " + name.padding(toLength: 12, withPad: " ", startingAt: 0)
                    + String(
                        format: "%6.2f Gbit/s  ratio %.2f   %.2f s of processor a GiB  ratio %.2f", rate,
                        rate / plain.0, processor / gigabytes, processor / plain.1))
        }
    }
}

print("\(ProcessInfo.processInfo.activeProcessorCount) cores, \(rounds) rounds of each in turn, medians")
for (gigabits, megabytes) in [(1, most / 8), (5, most / 2)] {
    print("over \(gigabits) Gbit/s, \(megabytes) MiB")
    try limit(gigabits)
    try compare(megabytes)
}
try limit(nil)
print("over what the processors let pass, \(most) MiB")
try compare(most)
await checking.shutdown()
await filtering.shutdown()
for network in networks {
    try network.sandbox.delete()
    try network.outside.delete()
}
try? FileManager.default.removeItem(atPath: folder)
