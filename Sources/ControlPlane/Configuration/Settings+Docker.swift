import FoundationEssentials
import JSON
import Runtimes
import Spelling
import System

/// What runs sandboxes.
package enum RuntimeKind: String, Sendable, CaseIterable {
    case local, docker
}

extension Settings {
    /// The Docker runtime (docs/docker.md). Where the reference has a key, it has its name and meaning.
    package struct Docker: Hashable, Sendable {
        /// nil for the environment's, as Docker's own clients have it.
        package var host: String?
        /// The folder with the client's certificate; nil without TLS.
        package var certificates: String?
        /// Seconds without a byte after which the engine is away.
        package var patience = 180
        /// The engine's network of containers that have a guard beside them, or `machineNetwork`.
        package var network = usualNetwork
        static let usualNetwork = "bridge", machineNetwork = "host"
        package var pulls = PullPolicy.missing
        package var confinement = ContainerConfinement()
        /// `unconfined`, or the path of a profile; nil for the engine's own.
        package var seccompProfile: String?
        package var environment: [ExactName: String] = [:]
        package var binds: [String] = []
        /// No setting: false for a server that is about to be uninstalled, with its rules.
        var keepsRules = true
    }

    static let dockerSection = SettingSection(
        "docker", "The Docker runtime, with runtime.type = \"docker\" (docs/docker.md).",
        [
            .optionalText(
                "host", "unix:///path or tcp://host:port", \.docker.host,
                "the engine; absent: DOCKER_HOST, or unix:///var/run/docker.sock"),
            .optionalText(
                "tls_dir", "a folder", \.docker.certificates,
                "the folder with ca.pem, cert.pem and key.pem; absent: DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"),
            .integer(
                "api_timeout", 1...3600, \.docker.patience, "seconds without a byte after which the engine is away"),
            SettingKey(
                "network_mode", "bridge, host, or the name of a network of the engine",
                default: "\"\(Docker.usualNetwork)\"",
                "the network of containers that have a guard beside them; others have a routed link of their own. host: sandboxes share this "
                    + "machine's network, unguarded (docs/docker.md#the-machines-own-network)"
            ) { (value, settings) throws(ConfigurationError) in
                let name = try value.text()
                guard name == Docker.machineNetwork || !["none", "default", "host"].contains(name.lowercased()),
                    Self.isNetwork(name)
                else { throw value.wrong() }
                settings.docker.network = name
            },
            .choice("pull_policy", \.docker.pulls, "when an image is fetched that a request has no credentials for"),
            SettingKey(
                "drop_capabilities", "a list of names such as NET_RAW",
                default: "[\(ContainerConfinement.usualDrops.map { "\"\($0)\"" }.joined(separator: ", "))]",
                "capabilities that containers do not have; NET_ADMIN and NET_RAW they never have"
            ) { (value, settings) throws(ConfigurationError) in
                settings.docker.confinement.droppedCapabilities = try value.list(capability)
            },
            .flag(
                "no_new_privileges", \.docker.confinement.deniesNewPrivileges, "whether programs can gain no privileges"
            ),
            .optionalText(
                "seccomp_profile", "unconfined, or a path", \.docker.seccompProfile,
                "a profile's file; absent: the engine's own"),
            .optionalText(
                "apparmor_profile", "the name of a profile", \.docker.confinement.appArmor,
                "absent: the engine's own"),
            .integer(
                "pids_limit", 0...4_194_304, \.docker.confinement.maxProcesses, "processes of a container; 0: no limit"),
            SettingKey(
                "sandbox_env", "a table of strings", default: "{}", "variables of every sandbox, below a request's own"
            ) { (value, settings) throws(ConfigurationError) in settings.docker.environment = try variables(value) },
            SettingKey(
                "sandbox_binds", "a list of /source:/target or /source:/target:ro", default: "[]",
                "files of the machine for every sandbox"
            ) { (value, settings) throws(ConfigurationError) in settings.docker.binds = try value.list(bind) },
        ]
    ) { (values, settings) throws(ConfigurationError) in
        guard settings.runtime == .docker || settings.docker == Docker() else {
            throw ConfigurationError("[docker] is for runtime.type = \"docker\": leave the table out, or set that type")
        }
        guard let host = values["host"], settings.docker.host != nil else {
            guard settings.docker.certificates == nil else {
                throw ConfigurationError(
                    "docker.tls_dir is for docker.host, which is missing; an engine that DOCKER_HOST names has its "
                        + "certificates where DOCKER_CERT_PATH says")
            }
            return
        }
        do throws(EngineAddress.Problem) { _ = try settings.docker.engine(environment: [:]) } catch {
            throw ConfigurationError("\(host.path) \(error)")
        }
    }

    /// As engines name networks. Words with a colon mean other containers.
    private static func isNetwork(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count) && text.first!.isLetter
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "_.-".utf8.contains(byte)
                }
            }
    }

    private static func capability(_ text: String) -> String? {
        let name = text.uppercased()
        let bare = name.hasPrefix("CAP_") ? String(name.dropFirst(4)) : name
        let isName =
            !bare.isEmpty
            && bare.utf8.allSatisfy {
                (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) || $0 == UInt8(ascii: "_")
            }
        return isName ? bare : nil
    }

    private static func variables(_ value: SettingValue) throws(ConfigurationError) -> [ExactName: String] {
        guard case .object(let table) = value.value else { throw value.wrong() }
        var variables: [ExactName: String] = [:]
        for member in table.members {
            guard case .string(let text) = member.value, !member.name.isEmpty, !member.name.contains("="),
                !(member.name + text).utf8.contains(0)
            else {
                throw ConfigurationError(
                    "\(value.path).\(member.name.prefix(64)) is not the name of a variable with a string as its value")
            }
            variables[ExactName(member.name)] = text
        }
        return variables
    }

    /// nil for what the engine could read as something else, and for places that the server needs.
    private static func bind(_ text: String) -> String? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), HostPath(configured: parts[0]) != nil,
            (try? MountPath(parts[1], of: "sandbox_binds")) != nil, parts.count == 2 || ["ro", "rw"].contains(parts[2])
        else { return nil }
        return text
    }

    /// Where the engine is, as the configuration or else the environment says.
    func engineAddress() throws(ConfigurationError) -> EngineAddress {
        let address: EngineAddress
        do throws(EngineAddress.Problem) { address = try docker.engine(environment: engineVariables) } catch {
            throw ConfigurationError("DOCKER_HOST \(error)")
        }
        if let missing = address.missingFile {
            throw ConfigurationError(
                "\(missing) cannot be read: the engine's TLS needs ca.pem, cert.pem and key.pem in one folder "
                    + "(docker.tls_dir, DOCKER_CERT_PATH)")
        }
        return address
    }

    /// The engine's name of the runtime that sandboxes are to have; nil for its default.
    var engineRuntime: String? { local.gVisor == nil ? nil : secureRuntime.engineName ?? "runsc" }
}

extension Settings.Docker {
    /// The environment's variables that say where the engine is.
    static let variables = ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"]

    func engine(environment: [String: String]) throws(EngineAddress.Problem) -> EngineAddress {
        guard let host else { return try EngineAddress(environment: environment, certificates: certificates) }
        return try EngineAddress(host, certificates: certificates)
    }

    /// The text of the profile.
    func seccomp() throws(ConfigurationError) -> String? {
        guard let seccompProfile, seccompProfile != "unconfined" else { return seccompProfile }
        guard let bytes = try? File.read(seccompProfile, limit: 4 << 20), let profile = try? JSONValue(bytes),
            case .object = profile
        else {
            throw ConfigurationError(
                "docker.seccomp_profile: \(seccompProfile) is not a profile in JSON that this server can read")
        }
        return String(decoding: profile.encoded, as: UTF8.self)
    }
}
