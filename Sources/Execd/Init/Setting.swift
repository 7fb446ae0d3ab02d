import Spelling

/// The variables of the environment that are execd's own, and not the sandbox's.
enum Setting: String, CaseIterable {
    case accessToken = "EXECD_ACCESS_TOKEN"
    case grace = "EXECD_API_GRACE_SHUTDOWN"
    case pollInterval = "EXECD_JUPYTER_IDLE_POLL_INTERVAL"
    case contextIdle = "EXECD_CONTEXT_IDLE_TIMEOUT"
    case isolation = "EXECD_ISOLATION_CONFIG"
    case initialises = "EXECD_INIT"
    case gatedStart = "EXECD_RUNTIME_INIT"
    case logFile = "EXECD_LOG_FILE"
    case environmentFile = "EXECD_ENVS"
    case cloneCompatibility = "EXECD_CLONE3_COMPAT"
    case hooksFile = "EXECD_LIFECYCLE_CONFIG"
    case preScript = "EXECD_BOOTSTRAP_PRE_SCRIPT"
    case operations = "EXECD_OPERATION_CAPACITY"
    case hooks = "OPENSANDBOX_LIFECYCLE"
    case program = "EXECD"
    case shellCommand = "BOOTSTRAP_CMD"
    case shell = "BOOTSTRAP_SHELL"
    case jupyterHost = "JUPYTER_HOST"
    case jupyterToken = "JUPYTER_TOKEN"

    var name: ExactName { ExactName(rawValue) }

    /// Who is given it besides execd.
    enum Audience {
        case nobody
        /// The sandbox's program: an image's entrypoint starts the Jupyter server with it.
        case entrypoint
        case everybody
    }

    var audience: Audience {
        switch self {
        case .environmentFile: .everybody
        case .jupyterHost, .jupyterToken, .cloneCompatibility: .entrypoint
        default: .nobody
        }
    }

    /// What commands, sessions, terminals and kernels are not given.
    static let keptFromCommands = allCases.filter { $0.audience != .everybody }.map(\.name)
    /// What the sandbox's program is not given.
    static let keptFromEntrypoint = allCases.filter { $0.audience == .nobody }.map(\.name)
}

/// What is wrong with an environment.
struct SettingProblem: Error, Hashable, CustomStringConvertible {
    let description: String
    /// Whether to start all the same would leave open what was meant to be closed, or do what was not meant.
    let isFatal: Bool
}

extension Setting {
    private static let prefix = "EXECD_"

    /// Misspelt and malformed settings, in the order of their names.
    static func problems(in environment: [ExactName: String]) -> [SettingProblem] {
        let known = allCases.map(\.rawValue)
        return environment.sorted { $0.key < $1.key }.compactMap { name, value in
            if let setting = Setting(rawValue: name.text) { return setting.problem(with: value) }
            let meant = SimilarName.misspelt(name.text, of: known)
            guard meant != nil || name.text.hasPrefix(prefix) else { return nil }
            let hint = (meant ?? SimilarName.nearest(to: name.text, among: known)).map { "; did you mean \($0)?" } ?? ""
            return SettingProblem(
                description: "\(name.text.prefix(128)): no such setting is known\(hint)",
                // Without the token that was meant, anybody could run commands.
                isFatal: meant == accessToken.rawValue && environment[accessToken.name] == nil)
        }
    }

    private func problem(with value: String) -> SettingProblem? {
        let wanted: String
        switch self {
        case .grace, .pollInterval, .contextIdle:
            guard GoDuration(value) == nil, !value.isEmpty else { return nil }
            wanted = "a duration such as 200ms or 3s"
        case .initialises, .gatedStart:
            guard Truth(value) == nil else { return nil }
            wanted = "true or false"
        case .cloneCompatibility:
            guard value != "reexec", Truth(value) == nil else { return nil }
            wanted = "true or false"
        case .accessToken:
            guard value.isEmpty || value.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) else { return nil }
            wanted = "one word of printable characters"
        default: return nil
        }
        return SettingProblem(description: "\(rawValue) is not \(wanted)", isFatal: true)
    }
}
