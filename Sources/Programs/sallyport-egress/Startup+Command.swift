import CLinux
import Egress
import EgressSidecar

#if canImport(Glibc)
    import Glibc
#endif

/// Handles command line options that come before anything is changed.
extension Startup {
    static var command: SidecarCommand {
        do {
            return try SidecarCommand(CommandLine.arguments.dropFirst())
        } catch {
            Exit.now(.configuration, "\(error); nothing was changed\n\(SidecarCommand.usage)")
        }
    }

    /// Ends the program in a namespace that it should not guard.
    static func requireNamespace(_ command: SidecarCommand) {
        if let refusal = refusal(command) { Exit.now(.configuration, "\(refusal); nothing was changed") }
    }

    private static func refusal(_ command: SidecarCommand) -> String? {
        if command.mayBeHost { return nil }
        switch NamespaceKind() {
        case .other: return nil
        case .initial:
            return "this is the machine's own network namespace, which it would close: start it in the sandbox's, "
                + "or use --host-namespace"
        case .unknown:
            return "without /proc it cannot be told whether this is the machine's own network namespace: mount it, "
                + "or use --host-namespace"
        }
    }

    /// `--check`
    static func check(_ command: SidecarCommand) -> Never {
        let plan: String
        do {
            plan = try Sidecar.plan(try configuration())
        } catch {
            Exit.now(.configuration, "\(error)")
        }
        let text = Array(plan.utf8)
        _ = write(STDOUT_FILENO, text, text.count)
        if let refusal = refusal(command) { Exit.now(.failed, "it would not start: \(refusal)") }
        guard hasNetworkPower else { Exit.now(.failed, "it would not start: it needs CAP_NET_ADMIN") }
        Exit.saying("it would guard this namespace\n")
    }

    /// `--running`
    static func tellWhetherItRuns() -> Never {
        do {
            guard try Sidecar.isRunning() else { Exit.now(.failed, "no guard runs in this namespace") }
        } catch {
            Exit.now(
                .failed, "it cannot be told whether a guard runs in this namespace: \(error); it needs CAP_NET_ADMIN")
        }
        Exit.saying("a guard runs in this namespace\n")
    }

    /// `--open`
    static func open() -> Never {
        do {
            try Sidecar.open()
        } catch {
            Exit.now(.failed, "the rules stay: \(error); it needs CAP_NET_ADMIN")
        }
        Exit.saying("the rules are removed: nothing is refused in this namespace any more\n")
    }

    private static var hasNetworkPower: Bool {
        let mark = "CapEff:"
        guard let line = text(of: "/proc/self/status").split(separator: "\n").first(where: { $0.hasPrefix(mark) }),
            let sets = UInt64(line.dropFirst(mark.count).filter { !$0.isWhitespace }, radix: 16)
        else { return false }
        return sets & (1 << UInt64(LINUX_CAP_NET_ADMIN)) != 0
    }
}
