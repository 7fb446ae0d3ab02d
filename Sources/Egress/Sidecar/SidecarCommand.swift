import Egress

/// The sidecar's command line. Without arguments it guards, which is how containers start it.
package struct SidecarCommand: Hashable, Sendable {
    package enum Work: String, Hashable, Sendable, CaseIterable {
        case `guard` = ""
        case help = "--help"
        case version = "--version"
        case check = "--check"
        case running = "--running"
        case open = "--open"
    }

    package var work = Work.guard
    /// Whether it may guard the machine's own network namespace.
    package var mayBeHost = false

    private static let hostWord = "--host-namespace"

    /// - Parameter arguments: without the program's name.
    /// - Throws: `SidecarCommandError`; then the caller must do nothing.
    package init(_ arguments: some Sequence<String>) throws(SidecarCommandError) {
        for argument in arguments {
            let word = argument == "-h" ? Work.help.rawValue : argument
            if word == Self.hostWord {
                mayBeHost = true
            } else if !word.isEmpty, let work = Work(rawValue: word) {
                guard self.work == .guard || self.work == work else {
                    throw .two(self.work.rawValue, work.rawValue)
                }
                self.work = work
            } else {
                throw .unknown(argument)
            }
        }
    }

    package static let usage = """
        usage: sallyport-egress [--host-namespace] [--check | --running | --open | --help | --version]

        Guards the network namespace that it is started in; its settings are variables, OPENSANDBOX_EGRESS_…
        (docs/egress-sidecar.md).

          --check            say what it would do, and change nothing: 0 it would start, 1 not here, 2 a wrong setting
          --running          say whether one guards this namespace: 0 it does, 1 none (Linux 5.12)
          --open             take its rules away from this namespace, and end; stop a guard that runs before
          --host-namespace   guard this namespace though it is the machine's own: everything in it loses its network
                             but for what the policy allows
          --help, --version

        """
}

/// Why a command line was refused.
package enum SidecarCommandError: Error, Hashable, Sendable, CustomStringConvertible {
    case unknown(String)
    case two(String, String)

    package var description: String {
        switch self {
        case .unknown(let word): "unknown argument \"\(word.prefix(80))\""
        case .two(let one, let other): "\(one) and \(other) exclude each other"
        }
    }
}
