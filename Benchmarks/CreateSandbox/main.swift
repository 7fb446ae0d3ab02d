import Addresses
import DNSFilter
import Egress
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy
import Runtimes
import TestSupport

// From nothing to a guarded sandbox whose execd accepts connections, beside the bare OCI runtime running `true` in the
// same bundle. Run as root: swift run -c release benchmark-create [count] [required|off: user namespaces]

let count = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 50
let folder = "/tmp/sallyport-benchmark-\(getpid())"
try BusyboxImage.create(at: folder + "/image")
guard let execd = BusyboxImage.execd else { fatalError("run make execd first") }
var logger = Logger(label: "benchmark")
logger.logLevel = .error
var local = LocalConfiguration(
    stateDirectory: folder + "/sandboxes", execdPath: execd, addressPool: CIDRBlock("10.233.0.0/16")!, tag: "b",
    namespaceDirectory: folder + "/netns")
let asked = CommandLine.arguments.dropFirst(2).first ?? ""
local.userNamespaces.mode = UserNamespaceSettings.Mode(rawValue: asked) ?? .required
let runtime = try LocalEngine(configuration: local, logger: logger)
let node = try await EgressNode(
    configuration: EgressConfiguration(
        stateDirectory: folder + "/egress", socketPath: folder + "/policy.sock", dns: DNSConfiguration(upstreams: [])),
    logger: logger)
let policy = Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "pypi.org")])

func milliseconds(_ body: () async throws -> Void) async rethrows -> Double {
    let start = ContinuousClock.now
    try await body()
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    return Double(seconds) * 1000 + Double(attoseconds) / 1e15
}

func line(_ name: String, _ times: [Double]) -> Double {
    let sorted = times.sorted()
    let median = sorted[sorted.count / 2], high = sorted[min(sorted.count - 1, sorted.count * 99 / 100)]
    print(String(format: "%-44@ p50 %7.2f ms   p99 %7.2f ms", name as NSString, median, high))
    return median
}

@Sendable func create(_ id: String) async throws {
    let prepared = try await runtime.prepare(
        EngineSpec(
            id: id, imageRoot: folder + "/image", entrypoint: ["/bin/sleep", "1000"],
            limits: ResourceLimits(cpuMillis: 1000, memoryBytes: 512 << 20)))
    try await node.protect(id, namespace: NetworkNamespace(existing: prepared.namespacePath), policy: policy)
    try await runtime.start(id)
}

@Sendable func delete(_ id: String) async throws {
    try await runtime.delete(id)
    await node.release(id)
}

var creating: [Double] = [], deleting: [Double] = [], bare: [Double] = []
for number in 0..<count {
    let id = "bench-\(number)"
    creating.append(try await milliseconds { try await create(id) })
    deleting.append(try await milliseconds { try await delete(id) })

    // The peer, in turn: the same files and settings, its own empty network, `true` instead of execd.
    let peer = "peer-\(number)"
    _ = try await runtime.prepare(EngineSpec(id: peer, imageRoot: folder + "/image", entrypoint: ["/bin/true"]))
    // The only one there is.
    let name = try FileManager.default.contentsOfDirectory(atPath: folder + "/sandboxes").first { $0.first != "." }!
    let bundle = folder + "/sandboxes/\(name)/bundle"
    let config = URL(filePath: bundle + "/config.json")
    var json = try JSONSerialization.jsonObject(with: Data(contentsOf: config)) as! [String: Any]
    var process = json["process"] as! [String: Any], linux = json["linux"] as! [String: Any]
    process["args"] = ["/bin/busybox", "true"]
    linux["namespaces"] = ["pid", "mount", "ipc", "uts", "network"].map { ["type": $0] }
    // Its users are this machine's.
    (linux["uidMappings"], linux["gidMappings"]) = (nil, nil)
    (json["process"], json["linux"]) = (process, linux)
    try JSONSerialization.data(withJSONObject: json).write(to: config)
    // Where the runtime has the sandbox's folder, too.
    let place = "mount --rbind \(folder)/sandboxes/\(name) /mnt"
    let hide = "umount /sys/fs/cgroup/unified 2>/dev/null; \(place) && exec crun run --bundle /mnt/bundle \(peer)"
    bare.append(try await milliseconds { try Command.run("unshare", "-m", "sh", "-c", hide) })
    try await delete(peer)
}

let together = try await milliseconds {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<100 { group.addTask { try await create("many-\(number)") } }
        try await group.waitForAll()
    }
}
for number in 0..<100 { try await delete("many-\(number)") }

print("\(ProcessInfo.processInfo.activeProcessorCount) cores, \(count) of each in turn")
let ours = line("create: prepared, guarded, execd answers", creating)
let peer = line("crun run of true in the same bundle", bare)
_ = line("delete", deleting)
print(String(format: "create / crun run: %.2f", ours / peer))
print(String(format: "100 sandboxes at once: %.0f ms, %.1f ms each", together, together / 100))
await node.shutdown()
try runtime.uninstall()
try? FileManager.default.removeItem(atPath: folder)
