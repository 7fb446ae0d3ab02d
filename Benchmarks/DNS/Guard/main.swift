import DNSFilter
import Egress
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy

// A guarded namespace for dns.py to ask in: prints the namespace's path, serves until its input ends, and takes the
// namespace away. Run as root: benchmark-dns RULES CACHE-ENTRIES UPSTREAM
//
// Every zone-N.example may be asked for, together with what is below it, N below RULES.

let arguments = CommandLine.arguments
guard arguments.count == 4, let count = Int(arguments[1]), let cacheEntries = Int(arguments[2]),
    let upstream = UpstreamAddress(arguments[3])
else {
    fatalError("benchmark-dns RULES CACHE-ENTRIES UPSTREAM")
}
let folder = "/tmp/sallyport-benchmark-dns-\(getpid())"
// Kept, but never used up: who asks for the same thousand names at full speed would soon be refused.
var budgets = EgressBudgets()
budgets.wildcardBytesPerMinute = EgressBudgets.most
budgets.wildcardBurst = EgressBudgets.most
var logger = Logger(label: "benchmark")
logger.logLevel = .error
let namespace = try NetworkNamespace.create(named: "sp-benchmark-\(getpid())")
var dns = DNSConfiguration(upstreams: [upstream])
dns.cacheEntries = cacheEntries
let node = try await EgressNode(
    configuration: EgressConfiguration(
        stateDirectory: folder + "/egress", socketPath: folder + "/policy.sock", dns: dns, maxRules: count,
        budgets: budgets),
    logger: logger)
let rules = try (0..<count).map { try Rule(action: .allow, text: "*.zone-\($0).example") }
try await node.protect("asked", namespace: namespace, policy: Policy(defaultAction: .deny, rules: rules))
FileHandle.standardOutput.write(Data("\(namespace.path)\n".utf8))
while readLine() != nil {}
await node.shutdown()
try namespace.delete()
try? FileManager.default.removeItem(atPath: folder)
