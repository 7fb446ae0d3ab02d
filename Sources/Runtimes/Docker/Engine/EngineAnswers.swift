import Addresses
import JSON
import Spelling

/// A container as `GET /containers/{id}/json` tells of it, as far as it is used.
struct ContainerFacts: Decodable, Hashable, Sendable {
    struct State: Decodable, Hashable, Sendable {
        var status: String
        var isRunning, isPaused, isRestarting: Bool
        var isOutOfMemory: Bool
        /// Of the first process, as the engine's machine counts; 0 for none.
        var process: Int32
        var exitCode: Int32
        /// Why it could not be started.
        var error: String?
        /// When it was started last, in the engine's words: another one for each start.
        var startedAt: String?

        enum CodingKeys: String, CodingKey {
            case status = "Status", isRunning = "Running", isPaused = "Paused", isRestarting = "Restarting"
            case isOutOfMemory = "OOMKilled", process = "Pid", exitCode = "ExitCode", error = "Error"
            case startedAt = "StartedAt"
        }
    }
    struct Configuration: Decodable, Hashable, Sendable {
        var labels: [ExactName: String]?
        var image: String?
        var entrypoint: [String]?
        enum CodingKeys: String, CodingKey { case labels = "Labels", image = "Image", entrypoint = "Entrypoint" }
    }
    struct Resources: Decodable, Hashable, Sendable {
        var memory: Int64?
        /// The name of its OCI runtime.
        var runtime: String?
        /// What it was made with: `host` for the machine's own.
        var network: String?
        /// Capabilities, with or without `CAP_`.
        var drops: [String]?
        var securityOptions: [String]?
        enum CodingKeys: String, CodingKey {
            case memory = "Memory", runtime = "Runtime", network = "NetworkMode", drops = "CapDrop"
            case securityOptions = "SecurityOpt"
        }
    }

    struct Networks: Decodable, Hashable, Sendable {
        struct Place: Decodable, Hashable, Sendable {
            var address: String?
            enum CodingKeys: String, CodingKey { case address = "IPAddress" }
        }
        var all: [ExactName: Place]?
        enum CodingKeys: String, CodingKey { case all = "Networks" }
    }

    struct Mount: Decodable, Hashable, Sendable {
        /// On the engine's machine.
        var source: String?
        var target: String
        enum CodingKeys: String, CodingKey { case source = "Source", target = "Destination" }
    }

    /// 64 hexadecimal digits.
    var id: String
    var state: State
    var configuration: Configuration
    var resources: Resources
    /// The id of its image.
    var image: String
    var networks: Networks?
    var mounts: [Mount]?

    enum CodingKeys: String, CodingKey {
        case id = "Id", state = "State", configuration = "Config", resources = "HostConfig", image = "Image"
        case networks = "NetworkSettings", mounts = "Mounts"
    }

    /// In the engine's network, of which ours have one.
    var address: IPv4Address? { place.flatMap { IPv4Address($0.address ?? "") } }
    private var place: Networks.Place? { networks?.all?.min { $0.key < $1.key }?.value }

    subscript(label name: String) -> String? { configuration.labels?[ExactName(name)] }
}

extension ContainerFacts.State {
    /// The states of the contract (docs/wire.md), before what is known of this server's own steps.
    var phase: ContainerPhase {
        if isRunning && !isPaused { return .running }
        if isPaused { return .paused }
        if isRestarting { return .running }
        return switch status {
        case "created", "starting": .created
        case "exited", "dead": .ended
        case "removing": .removing
        default: .unknown(status)
        }
    }
}

enum ContainerPhase: Hashable, Sendable {
    case created, running, paused, ended, removing
    /// The engine's word, which this version does not know.
    case unknown(String)
}

/// A container as a list has it.
struct ListedContainer: Decodable, Hashable, Sendable {
    var id: String
    var labels: [ExactName: String]?
    enum CodingKeys: String, CodingKey { case id = "Id", labels = "Labels" }
}

/// What an image says of its program (`GET /images/{name}/json`).
struct EngineImage: Decodable, Hashable, Sendable {
    struct Configuration: Decodable, Hashable, Sendable {
        var user: String?
        var environment: [String]?
        var labels: [ExactName: String]?
        /// Paths at which every container of it gets a volume.
        var volumes: [ExactName: JSONIgnored]?
        enum CodingKeys: String, CodingKey {
            case user = "User", environment = "Env", labels = "Labels", volumes = "Volumes"
        }
    }

    /// `sha256:` and 64 hexadecimal digits.
    var id: String
    var system: String
    var architecture: String
    var configuration: Configuration?
    var tags: [String]?
    var digests: [String]?

    enum CodingKeys: String, CodingKey {
        case id = "Id", system = "Os", architecture = "Architecture", configuration = "Config", tags = "RepoTags"
        case digests = "RepoDigests"
    }

    var environment: [ExactName: String] {
        var found: [ExactName: String] = [:]
        for entry in (configuration?.environment ?? []).map(\.unicodeScalars) {
            guard let sign = entry.firstIndex(of: "=") else { continue }
            found[ExactName(String(entry[..<sign]))] = String(entry[sign...].dropFirst())
        }
        return found
    }

    var volumePaths: [String] { (configuration?.volumes ?? [:]).keys.map(\.text).sorted() }

    /// Whether this is one of its names. Engines find images by their ids and parts of them, too, which are nobody's to ask for.
    func isNamed(_ reference: ImageReference) -> Bool {
        (reference.digest == nil ? tags : digests)?.contains { text in
            guard let name = try? ImageReference(text), name.name == reference.name else { return false }
            return reference.digest.map { name.digest == $0 } ?? (name.tag == reference.tag)
        } ?? false
    }

    /// Whom its program runs as, in its own words; nil for root, of whom nothing has to be said.
    var user: String? {
        let user = configuration?.user ?? ""
        return ["", "root", "0", "root:root", "0:0"].contains(user) ? nil : user
    }
}

/// A line of a list of images.
struct ListedImage: Decodable, Hashable, Sendable {
    var id: String
    var tags: [String]?
    enum CodingKeys: String, CodingKey { case id = "Id", tags = "RepoTags" }
}

struct EngineVolume: Decodable, Hashable, Sendable {
    var name: String
    var driver: String
    var labels: [ExactName: String]?
    /// Its folder on the engine's machine.
    var path: String?
    enum CodingKeys: String, CodingKey {
        case name = "Name", driver = "Driver", labels = "Labels", path = "Mountpoint"
    }

    /// An engine makes a volume first and notes its labels then: one that is killed in between has it without any.
    var isUnlabelled: Bool { labels?.isEmpty ?? true }
}

struct VolumeList: Decodable, Hashable, Sendable {
    var volumes: [EngineVolume]?
    enum CodingKeys: String, CodingKey { case volumes = "Volumes" }
}

/// `GET /info`
struct EngineInfo: Decodable, Hashable, Sendable {
    var system: String
    var architecture: String
    var version: String
    /// By the names that containers ask for.
    var runtimes: [ExactName: Runtime]?
    /// The folder of the engine's own files, on its machine.
    var folder: String?
    struct Runtime: Decodable, Hashable, Sendable {
        var arguments: [String]?
        enum CodingKeys: String, CodingKey { case arguments = "runtimeArgs" }
    }
    enum CodingKeys: String, CodingKey {
        case system = "OSType", architecture = "Architecture", version = "ServerVersion", runtimes = "Runtimes"
        case folder = "DockerRootDir"
    }

    /// In the words of images.
    var platform: String { "\(system)/\(Self.aliases[architecture] ?? architecture)" }
    private static let aliases = ["x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"]
}

/// Who keeps containers' files (`GET /info`), apart from the rest, which is read where a driver says more than this expects.
struct EngineStorage: Decodable, Hashable, Sendable {
    var driver: String
    /// Names and values.
    var status: [[String]]?
    enum CodingKeys: String, CodingKey { case driver = "Driver", status = "DriverStatus" }
}

/// How an engine confines what it starts (`GET /info`), apart from the rest for the same reason.
struct EngineSecurity: Decodable, Hashable, Sendable {
    /// Such as `name=seccomp,profile=builtin`.
    var options: [String]?
    enum CodingKeys: String, CodingKey { case options = "SecurityOptions" }

    /// Whether it runs without root's rights.
    var isRootless: Bool { options?.contains { $0.split(separator: ",").contains("name=rootless") } ?? false }
}

/// A value of which only the name counts.
struct JSONIgnored: Decodable, Hashable, Sendable { init(from decoder: any Decoder) {} }

/// What a create answers.
struct CreatedContainer: Decodable, Hashable, Sendable {
    var id: String
    enum CodingKeys: String, CodingKey { case id = "Id" }
}
