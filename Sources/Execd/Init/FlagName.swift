import Spelling

/// The flags of execd's command line.
enum FlagName: String, CaseIterable {
    case port, address, report, state, serve, help, version
    case shortHelp = "h"
    case initialise = "init"
    case tokenFile = "token-file"
    case longestLine = "longest-line"
    case logLevel = "log-level"
    case ownGroup = "own-group"
    case commandGroup = "command-group"
    case statusFile = "lifecycle-startup-status-file"
    case variablesTo = "variables-to"
    case variablesFile = "variables-file"
    case programUser = "program-user"
    case accessToken = "access-token"
    case jupyterHost = "jupyter-host"
    case jupyterToken = "jupyter-token"
    case isolation = "isolation-config"
    case grace = "graceful-shutdown-timeout"
    case pollInterval = "jupyter-idle-poll-interval"
    case contextIdle = "context-idle-timeout"
    case gated = "runtime-init"
    case held, started
    case isolationFolder = "isolation"
    case builder, part, sidecar, listener

    /// Whether it stands alone, or is followed by `=true` or `=false`.
    var isSwitch: Bool {
        switch self {
        case .serve, .help, .shortHelp, .version, .initialise, .gated, .held: true
        default: false
        }
    }

    /// The setting that it goes over.
    var setting: Setting? {
        switch self {
        case .accessToken: .accessToken
        case .jupyterHost: .jupyterHost
        case .jupyterToken: .jupyterToken
        case .isolation: .isolation
        case .grace: .grace
        case .pollInterval: .pollInterval
        case .contextIdle: .contextIdle
        default: nil
        }
    }

    /// What has to follow it.
    var wants: String {
        switch self {
        case .port: "a number from 0 to 65535"
        case .address: "an address such as 127.0.0.1"
        case .longestLine:
            "a number from \(TextAssembler.maxLines.lowerBound) to \(TextAssembler.maxLines.upperBound)"
        case .logLevel: "a number from 0 to 7"
        case .programUser: "a user of the image: name, number, or either with a group"
        case .sidecar: "the inodes of sockets: 1,2"
        case .part: "session-starter or session"
        case .report, .state, .variablesTo, .builder, .started, .listener: "the number of a descriptor"
        case .ownGroup, .commandGroup: "the numbers of descriptors: 3,4,5"
        case .grace, .pollInterval, .contextIdle: "a duration such as 200ms or 3s"
        case .jupyterHost: "a URL"
        case .accessToken, .jupyterToken: "a token"
        default: "a path"
        }
    }
}

/// One argument that is a flag: `-f`, `--f`, `--f=value`.
struct Flag {
    let name: FlagName
    let value: String?

    init?(_ argument: String) {
        let body = argument.utf8.starts(with: "--".utf8) ? argument.dropFirst(2) : argument.dropFirst()
        let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let word = parts.first, let name = FlagName(rawValue: String(word)) else { return nil }
        self.name = name
        value = parts.count > 1 ? String(parts[1]) : nil
    }

    /// Which flag an unknown argument may have been meant to be.
    static func hint(_ argument: String) -> String {
        let word = String(argument.drop { $0 == "-" }.prefix { $0 != "=" })
        guard argument.hasPrefix("-"),
            let near = SimilarName.nearest(to: word, among: FlagName.allCases.map(\.rawValue))
        else { return "" }
        return "; did you mean --\(near)?"
    }
}

/// Yes and no as the contract's variables and flags write them.
enum Truth: Hashable {
    case yes, no

    init?(_ text: String) {
        switch text.lowercased() {
        case "1", "true", "yes", "on": self = .yes
        case "0", "false", "no", "off", "": self = .no
        default: return nil
        }
    }
}
