import JSON
import Spelling

/// The body that makes a sandbox's container (`POST /containers/create`), as a value.
struct ContainerBody: Hashable, Sendable {
    struct Mount: Hashable, Sendable {
        enum Source: Hashable, Sendable {
            case folder(String)
            case volume(String, labels: [String: String] = [:])
        }
        var source: Source
        var target: String
        var isReadOnly = false
        /// Whether an empty volume gets what the image has there.
        var isFilled = false
    }

    /// The image's id, which nobody can give to another one meanwhile.
    var image: String
    var command: [String]
    var environment: [String]
    var labels: [String: String]
    var limits = ResourceLimits()
    var confinement: ContainerConfinement
    var binds: [String] = []
    var mounts: [Mount] = []
    var maxLog: Int64
    /// The engine's network; none, where this machine makes the link, and host for its own.
    var network = "none"
    /// Whether it is the engine's network that comes later, with its own resolver.
    var isJoinedLater = false
    /// The name by which it knows itself, and its address.
    struct Host: Hashable, Sendable {
        var name: String
        /// nil where the engine gives it one.
        var address: String?
    }
    var own: Host?
    /// Ports of the machine that the engine forwards.
    struct Bindings: Hashable, Sendable {
        var ports: [PublishedPort]
        /// The machine's address that they are bound to; "" for every one.
        var address: String
    }
    var bindings: Bindings?

    static let userOption = "--program-user"

    /// execd's command line. It starts nothing of the image before it is told.
    /// - Parameter port: where it listens on the machine's loopback; nil where the network is the sandbox's own.
    static func command(user: String?, maxOutputLine: Int?, hasToken: Bool, port: UInt16? = nil) -> [String] {
        var words = [DockerNames.execd, "--held", "--variables-file", DockerNames.variables]
        if let port { words += ["--address", "\(SharedNetwork.address)", "--port", String(port)] }
        if hasToken { words += ["--token-file", DockerNames.token] }
        if let maxOutputLine { words += ["--longest-line", String(maxOutputLine)] }
        if let user { words += [userOption, user] }
        return words
    }

    var json: JSONValue {
        func texts(_ list: [String]) -> JSONValue { .array(list.map { .string($0) }) }
        var host: JSONObject = [
            "NetworkMode": .string(network), "IpcMode": .string("private"),
            "Init": .boolean(false), "RestartPolicy": .object(["Name": .string("no")]),
            "OomScoreAdj": .integer(500), "CapDrop": texts(confinement.drops),
            "SecurityOpt": texts(confinement.securityOptions), "Binds": texts(binds),
            "Mounts": .array(mounts.map(\.json)),
            "LogConfig": .object([
                "Type": .string("json-file"),
                "Config": .object(["max-size": .string(String(maxLog / 2)), "max-file": .string("2")]),
            ]),
        ]
        // The next hop of the sandbox, which no query reaches: the guard takes every one.
        if network == "none", !isJoinedLater { host.set("Dns", texts(["\(SandboxLink.gateway)"])) }
        let processes = [limits.processes, confinement.maxProcesses].filter { $0 > 0 }.min()
        if let processes { host.set("PidsLimit", .integer(processes)) }
        if let millis = limits.cpuMillis {
            let (nanos, overflows) = millis.multipliedReportingOverflow(by: 1_000_000)
            host.set("NanoCpus", .integer(overflows ? .max : nanos))
        }
        if let bytes = limits.memoryBytes {
            // Without the second one, the engine would give as much swap again.
            host.set("Memory", .integer(Int(bytes)))
            host.set("MemorySwap", .integer(Int(bytes)))
        }
        if let bytes = limits.diskBytes { host.set("StorageOpt", .object(["size": .string("\(bytes)")])) }
        if let runtime = confinement.runtime { host.set("Runtime", .string(runtime)) }
        if let count = limits.gpus {
            host.set(
                "DeviceRequests",
                .array([.object(["Count": .integer(count), "Capabilities": .array([texts(["gpu"])])])]))
        }
        var names = JSONObject()
        for (name, value) in labels.sorted(by: { $0.key < $1.key }) { names.set(name, .string(value)) }
        var whole: JSONObject = [
            "Image": .string(image), "User": .string("0:0"), "Env": texts(environment), "Entrypoint": texts(command),
            "Cmd": .array([]), "Labels": .object(names),
            // The engine would run an image's check from the container's start on, before the policy, as root.
            "Healthcheck": .object(["Test": texts(["NONE"])]),
        ]
        if let own {
            whole.set("Hostname", .string(own.name))
            if let address = own.address { host.set("ExtraHosts", texts(["\(own.name):\(address)"])) }
        }
        if let bindings {
            var exposed = JSONObject(), bound = JSONObject()
            for port in bindings.ports {
                exposed.set("\(port.port)/tcp", .object([:]))
                let place: JSONObject = ["HostIp": .string(bindings.address), "HostPort": .string("\(port.at)")]
                bound.set("\(port.port)/tcp", .array([.object(place)]))
            }
            whole.set("ExposedPorts", .object(exposed))
            host.set("PortBindings", .object(bound))
        }
        whole.set("HostConfig", .object(host))
        return .object(whole)
    }
}

extension ContainerBody.Mount {
    fileprivate var json: JSONValue {
        var mount: JSONObject = ["Target": .string(target), "ReadOnly": .boolean(isReadOnly)]
        switch source {
        case .folder(let path):
            mount.set("Type", .string("bind"))
            mount.set("Source", .string(path))
            mount.set("BindOptions", .object(["Propagation": .string("rprivate")]))
        case .volume(let name, let labels):
            var names = JSONObject()
            for (key, value) in labels.sorted(by: { $0.key < $1.key }) { names.set(key, .string(value)) }
            mount.set("Type", .string("volume"))
            mount.set("Source", .string(name))
            mount.set("VolumeOptions", .object(["NoCopy": .boolean(!isFilled), "Labels": .object(names)]))
        }
        return .object(mount)
    }
}
